use serde::{Deserialize, Deserializer};

/// What a JSON merge patch (RFC 7396) does to an optional value. In JSON, an absent field keeps the value (with
/// `#[serde(default)]`), `null` removes it, and any other value replaces it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Patch<T> {
    /// Keeps the value.
    #[default]
    Keep,
    /// Removes the value.
    Remove,
    /// Replaces the value.
    Set(T),
}

impl<T> Patch<T> {
    /// Returns whether the value is kept.
    pub const fn is_keep(&self) -> bool {
        matches!(self, Self::Keep)
    }

    /// Returns the value that results from `old`.
    pub fn applied_to(self, old: Option<T>) -> Option<T> {
        match self {
            Self::Keep => old,
            Self::Remove => None,
            Self::Set(new) => Some(new),
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Patch<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Option::deserialize(deserializer).map(|new: Option<T>| new.map_or(Self::Remove, Self::Set))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Body {
        #[serde(default)]
        notes: Patch<String>,
    }

    #[test]
    fn absent_fields_keep_and_null_removes_the_value() {
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
