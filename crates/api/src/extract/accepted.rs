use std::fmt::Write;

use utoipa::openapi::{
    KnownFormat, RefOr, Schema, SchemaFormat,
    schema::{Object, SchemaType, Type},
};

/// Describes what a parameter's schema accepts, such as "a UUID" or "an integer from 1 to 100".
pub(super) fn accepted_by(schema: Option<&RefOr<Schema>>) -> String {
    match schema {
        Some(RefOr::T(Schema::Object(object))) => accepted_by_object(object),
        _ => "a value".to_owned(),
    }
}

fn accepted_by_object(object: &Object) -> String {
    if let Some(values) = &object.enum_values {
        let words: Vec<&str> = values.iter().filter_map(|value| value.as_str()).collect();
        return format!("one of {}", words.join(", "));
    }
    if let Some(words) = object.pattern.as_deref().and_then(alternatives) {
        return format!("one of {}", words.replace('|', ", "));
    }
    match (&object.schema_type, &object.format) {
        (SchemaType::Type(Type::Integer), _) => integer(object),
        (SchemaType::Type(Type::Boolean), _) => "true or false".to_owned(),
        (_, Some(SchemaFormat::KnownFormat(KnownFormat::Uuid))) => "a UUID".to_owned(),
        (_, Some(SchemaFormat::KnownFormat(KnownFormat::DateTime))) => {
            "a time as in RFC 3339".to_owned()
        }
        _ => "at least 1 character".to_owned(),
    }
}

/// Returns the alternatives of a pattern such as `^(csv|ndjson)$`.
fn alternatives(pattern: &str) -> Option<&str> {
    pattern.strip_prefix("^(")?.strip_suffix(")$")
}

fn integer(object: &Object) -> String {
    let mut text = "an integer".to_owned();
    for (word, bound) in [("from", &object.minimum), ("to", &object.maximum)] {
        if let Some(bound) = bound.as_ref().and_then(|it| serde_json::to_string(it).ok()) {
            // Writing to a `String` cannot fail.
            let _ = write!(text, " {word} {bound}");
        }
    }
    text
}
