//! What a change has changed, for the audit trail.

use serde::Serialize;
use serde_json::{Map, Value, json};

/// The fields that are others than before, each with what it was and what it is.
#[derive(Debug, Default)]
pub(crate) struct Differences(Map<String, Value>);

impl Differences {
    /// Adds a field if it is another than before.
    pub(crate) fn compare<T: Serialize>(mut self, name: &str, old: &T, new: &T) -> Self {
        let (old, new) = (json!(old), json!(new));
        if old != new {
            self.0
                .insert(name.to_owned(), json!({ "from": old, "to": new }));
        }
        self
    }

    /// Adds of a field only that it is another, because its content is nothing for the trail.
    pub(crate) fn conceal(mut self, name: &str, is_another: bool) -> Self {
        if is_another {
            self.0.insert(name.to_owned(), json!("changed"));
        }
        self
    }

    /// The fields.
    pub(crate) fn into_fields(self) -> Map<String, Value> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_another_is_told_and_what_is_concealed_without_its_content() {
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
