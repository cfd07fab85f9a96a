//! JSON Schema checks whose errors name every bad field and never repeat a value.

mod integers;

use jsonschema::{Draft, ValidationError, Validator, error::ValidationErrorKind};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use thiserror::Error;

/// A JSON Schema (draft 2020-12), ready to check values.
#[derive(Debug)]
pub struct JsonSchema {
    document: Value,
    validator: Validator,
}

/// What is wrong with one field of an input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldError {
    /// Where the field is (RFC 6901), such as `/command_params/ecuAddress`.
    pub pointer: String,
    /// What is accepted there.
    pub detail: String,
}

impl FieldError {
    /// The errors of one input that are reported at most. An input of 256 KiB can have tens of thousands.
    pub const MOST: usize = 32;

    /// An error at `pointer`.
    pub fn new(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self {
            pointer: pointer.into(),
            detail: detail.into(),
        }
    }
}

/// The pointer to the field `name` of what is at `parent` (RFC 6901).
pub fn pointer_to(parent: &str, name: &str) -> String {
    format!("{parent}/{}", name.replace('~', "~0").replace('/', "~1"))
}

/// The schema itself is wrong.
#[derive(Debug, Error)]
#[error("not a JSON Schema: {0}")]
pub struct InvalidSchema(String);

impl JsonSchema {
    /// Reads a schema document.
    ///
    /// # Errors
    ///
    /// When the document is no valid schema.
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

    /// The schema as it was given.
    pub fn document(&self) -> &Value {
        &self.document
    }

    /// Rewrites numbers such as `290.0` and `1e2` as integers where the schema asks for an integer.
    /// They are integers to JSON Schema (Validation, section 6.1.1) but not to a deserializer. Numbers
    /// elsewhere stay as they were sent.
    pub fn write_integers(&self, value: &mut Value) {
        integers::write(&self.document, value);
    }

    /// Returns what is wrong with `value`, up to [`FieldError::MOST`] errors; pointers start with `prefix`.
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
                    let detail = format!("is not known here; {}", self.known_properties(error));
                    FieldError::new(pointer_to(&at, name), detail)
                })
                .collect(),
            _ => vec![FieldError::new(at, self.describe(error))],
        }
    }

    /// The validator's own words with the value masked, and what the schema says of the field. A
    /// pattern is no sentence, so there the schema speaks alone.
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
            format!("accepted are {}", names.join(", "))
        }
    }

    /// The part of the schema whose keyword found the error.
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
    fn names_every_bad_field() {
        let errors = schema().check(&json!({"name": "HUNTER2", "a/b": 1}), "/body");
        let pointers: Vec<&str> = errors.iter().map(|error| error.pointer.as_str()).collect();
        assert_eq!(errors.len(), 3, "{errors:?}");
        for pointer in ["/body/name", "/body/size", "/body/a~1b"] {
            assert!(pointers.contains(&pointer), "{pointers:?}");
        }
    }

    #[test]
    fn says_what_is_accepted_and_never_repeats_the_value() {
        let errors = schema().check(&json!({"name": "HUNTER2", "size": 1}), "");
        assert!(
            errors[0].detail.contains("lower-case letters"),
            "{errors:?}"
        );
        assert!(!errors[0].detail.contains("HUNTER2"), "{errors:?}");
    }

    #[test]
    fn a_value_that_fits_has_no_error() {
        assert_eq!(schema().check(&json!({"name": "a", "size": 3}), ""), vec![]);
    }
}
