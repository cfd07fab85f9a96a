//! The changed fields of an object, for the audit trail.

use serde::Serialize;
use serde_json::{Map, Value, json};

/// The changed fields, each with its old and its new value.
#[derive(Debug, Default)]
pub(crate) struct Differences(Map<String, Value>);

impl Differences {
    /// Adds a field if its value has changed.
    pub(crate) fn compare<T: Serialize>(mut self, name: &str, old: &T, new: &T) -> Self {
        let (old, new) = (json!(old), json!(new));
        if old != new {
            self.0
                .insert(name.to_owned(), json!({ "from": old, "to": new }));
        }
        self
    }

    /// Adds that a field has changed, without its values.
    pub(crate) fn conceal(mut self, name: &str, has_changed: bool) -> Self {
        if has_changed {
            self.0.insert(name.to_owned(), json!("changed"));
        }
        self
    }

    pub(crate) fn into_fields(self) -> Map<String, Value> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contains_changed_fields_and_conceals_values() {
        let fields = Differences::default()
            .compare("email", &"a@example.com", &"b@example.com")
            .compare("role", &"admin", &"admin")
            .compare("owner_id", &None, &Some(7))
            .conceal("password", true)
            .conceal("notes", false)
            .into_fields();
        let expected = json!({
            "email": { "from": "a@example.com", "to": "b@example.com" },
            "owner_id": { "from": null, "to": 7 },
            "password": "changed",
        });
        assert_eq!(Value::Object(fields), expected);
    }
}
