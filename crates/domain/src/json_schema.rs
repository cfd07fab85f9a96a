//! JSON Schema validation with errors that name every invalid field and never contain a value.

mod integers;

use jsonschema::{Draft, ValidationError, Validator, error::ValidationErrorKind};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use thiserror::Error;

/// A compiled JSON Schema (draft 2020-12).
#[derive(Debug)]
pub struct JsonSchema {
    document: Value,
    validator: Validator,
}

/// An invalid field of an input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldError {
    /// The JSON pointer to the field (RFC 6901), such as `/command_params/ecuAddress`.
    pub pointer: String,
    /// The accepted values.
    pub detail: String,
}

impl FieldError {
    /// The maximum number of errors that are reported for an input, which could have tens of thousands.
    pub const MOST: usize = 32;

    /// Creates an error at `pointer`.
    pub fn new(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self {
            pointer: pointer.into(),
            detail: detail.into(),
        }
    }
}

/// Returns the JSON pointer to the field `name` of the value at `parent` (RFC 6901).
pub fn pointer_to(parent: &str, name: &str) -> String {
    format!("{parent}/{}", name.replace('~', "~0").replace('/', "~1"))
}

/// An invalid schema.
#[derive(Debug, Error)]
#[error("not a JSON Schema: {0}")]
pub struct InvalidSchema(String);

impl JsonSchema {
    /// Compiles a schema.
    ///
    /// # Errors
    ///
    /// [`InvalidSchema`] if the document is not a valid schema.
    pub fn new(document: Value) -> Result<Self, InvalidSchema> {
        let validator = jsonschema::options()
            .with_draft(Draft::Draft202012)
            .should_validate_formats(true)
            .build(&document)
            .map_err(|error| InvalidSchema(error.to_string()))?;
        Ok(Self {
            document,
            validator,
        })
    }

    /// Returns the document of the schema.
    pub fn document(&self) -> &Value {
        &self.document
    }

    /// Rewrites numbers such as `290.0` and `1e2` as integers where the schema requires an integer. They
    /// are integers for JSON Schema (Validation, section 6.1.1) but not for a deserializer. Other numbers
    /// are unchanged.
    pub fn write_integers(&self, value: &mut Value) {
        integers::write(&self.document, value);
    }

    /// Validates `value` and returns up to [`FieldError::MOST`] errors, whose pointers start with `prefix`.
    pub fn check(&self, value: &Value, prefix: &str) -> Vec<FieldError> {
        self.validator
            .iter_errors(value)
            .flat_map(|error| self.field_errors(&error, prefix))
            .take(FieldError::MOST)
            .collect()
    }

    fn field_errors(&self, error: &ValidationError<'_>, prefix: &str) -> Vec<FieldError> {
        let at = format!("{prefix}{}", error.instance_path().as_str());
        match error.kind() {
            ValidationErrorKind::Required { property } => {
                let name = property.as_str().unwrap_or_default();
                vec![FieldError::new(pointer_to(&at, name), "is required")]
            }
            ValidationErrorKind::AdditionalProperties { unexpected } => unexpected
                .iter()
                .take(FieldError::MOST)
                .map(|name| {
                    let detail = format!("unknown field; {}", self.known_properties(error));
                    FieldError::new(pointer_to(&at, name), detail)
                })
                .collect(),
            _ => vec![FieldError::new(at, self.describe(error))],
        }
    }

    /// Returns the validator's message with the value masked, and the description in the schema. For a
    /// pattern the description replaces the message.
    fn describe(&self, error: &ValidationError<'_>) -> String {
        let problem = error.masked().to_string();
        let description = self
            .parent_of(error)
            .and_then(|parent| parent["description"].as_str())
            .map(|description| description.trim_end_matches('.'));
        match (description, error.kind()) {
            (Some(accepted), ValidationErrorKind::Pattern { .. }) => format!("must be {accepted}"),
            (Some(accepted), _) => format!("{problem}; expected: {accepted}"),
            (None, _) => problem,
        }
    }

    fn known_properties(&self, error: &ValidationError<'_>) -> String {
        let names: Vec<&str> = self
            .parent_of(error)
            .and_then(|parent| parent["properties"].as_object())
            .map(|properties| properties.keys().map(String::as_str).collect())
            .unwrap_or_default();
        if names.is_empty() {
            "no field is accepted".to_owned()
        } else {
            format!("expected one of {}", names.join(", "))
        }
    }

    /// Returns the part of the schema that contains the violated keyword.
    fn parent_of(&self, error: &ValidationError<'_>) -> Option<&Value> {
        let (parent, _keyword) = error.schema_path().as_str().rsplit_once('/')?;
        self.document.pointer(parent)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn schema() -> JsonSchema {
        JsonSchema::new(json!({
            "type": "object",
            "required": ["name", "size"],
            "additionalProperties": false,
            "properties": {
                "name": {"type": "string", "pattern": "^[a-z]+$", "description": "lower-case letters"},
                "size": {"type": "integer", "maximum": 3},
            },
        }))
        .unwrap()
    }

    #[test]
    fn names_every_invalid_field() {
        let errors = schema().check(&json!({"name": "HUNTER2", "a/b": 1}), "/body");
        let pointers: Vec<&str> = errors.iter().map(|error| error.pointer.as_str()).collect();
        assert_eq!(errors.len(), 3, "{errors:?}");
        for pointer in ["/body/name", "/body/size", "/body/a~1b"] {
            assert!(pointers.contains(&pointer), "{pointers:?}");
        }
    }

    #[test]
    fn describes_accepted_values_without_repeating_the_input() {
        let errors = schema().check(&json!({"name": "HUNTER2", "size": 1}), "");
        assert!(
            errors[0].detail.contains("lower-case letters"),
            "{errors:?}"
        );
        assert!(!errors[0].detail.contains("HUNTER2"), "{errors:?}");
    }

    #[test]
    fn accepts_a_valid_value() {
        assert_eq!(schema().check(&json!({"name": "a", "size": 3}), ""), vec![]);
    }
}
