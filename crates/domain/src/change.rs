//! What a change says of something that may be missing.

use serde::{Deserialize, Deserializer};

/// What is to become of a value that may be missing. In JSON a field that is left out keeps the value
/// (with `#[serde(default)]`), `null` takes it away, and anything else takes its place.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Change<T> {
    /// It stays.
    #[default]
    Keep,
    /// It goes.
    Clear,
    /// Another takes its place.
    To(T),
}

impl<T> Change<T> {
    /// Whether it stays.
    pub const fn is_keep(&self) -> bool {
        matches!(self, Self::Keep)
    }

    /// The value after the change of `old`.
    pub fn applied_to(self, old: Option<T>) -> Option<T> {
        match self {
            Self::Keep => old,
            Self::Clear => None,
            Self::To(new) => Some(new),
        }
    }

    /// The same change of something that is made from it.
    pub fn map<U>(self, make: impl FnOnce(T) -> U) -> Change<U> {
        match self {
            Self::Keep => Change::Keep,
            Self::Clear => Change::Clear,
            Self::To(new) => Change::To(make(new)),
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Change<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Option::deserialize(deserializer).map(|new: Option<T>| new.map_or(Self::Clear, Self::To))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Body {
        #[serde(default)]
        notes: Change<String>,
    }

    #[test]
    fn what_is_left_out_stays_and_null_goes() {
        for (json, after) in [
            (r"{}", Some("old")),
            (r#"{"notes":null}"#, None),
            (r#"{"notes":"new"}"#, Some("new")),
        ] {
            let body: Body = serde_json::from_str(json).unwrap();
            let notes = body.notes.applied_to(Some("old".to_owned()));
            assert_eq!(notes.as_deref(), after, "{json}");
        }
    }
}
