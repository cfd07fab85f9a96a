//! Changes of optional values.

use serde::{Deserialize, Deserializer};

/// A change of an optional value. In JSON an omitted field keeps the value (with `#[serde(default)]`),
/// `null` clears it, and any other value replaces it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Change<T> {
    /// Keeps the value.
    #[default]
    Keep,
    /// Removes the value.
    Clear,
    /// Sets a new value.
    To(T),
}

impl<T> Change<T> {
    /// Whether the value is kept.
    pub const fn is_keep(&self) -> bool {
        matches!(self, Self::Keep)
    }

    /// Returns `old` after the change.
    pub fn applied_to(self, old: Option<T>) -> Option<T> {
        match self {
            Self::Keep => old,
            Self::Clear => None,
            Self::To(new) => Some(new),
        }
    }

    /// Converts the new value.
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
    fn omitted_fields_are_kept_and_null_clears() {
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
