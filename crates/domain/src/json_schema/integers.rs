use serde_json::{Number, Value};

/// Rewrites integral floats as integers where `schema` allows the type `integer`. Follows `properties` and
/// `items`.
pub(super) fn write(schema: &Value, value: &mut Value) {
    match value {
        Value::Number(number) if is_integer(&schema["type"]) => {
            if let Some(integer) = integer_of(number) {
                *value = integer.into();
            }
        }
        Value::Object(fields) => {
            for (name, property) in schema["properties"].as_object().into_iter().flatten() {
                if let Some(field) = fields.get_mut(name) {
                    write(property, field);
                }
            }
        }
        Value::Array(items) => items
            .iter_mut()
            .for_each(|item| write(&schema["items"], item)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn is_integer(kind: &Value) -> bool {
    let mut kinds = kind.as_array().into_iter().flatten();
    kind == "integer" || kinds.any(|kind| kind == "integer")
}

/// Returns the integer that equals a float, if it fits into an `i64`.
fn integer_of(number: &Number) -> Option<i64> {
    let float = number.as_f64().filter(|float| float.fract() == 0.0)?;
    number
        .is_f64()
        .then(|| format!("{float:.0}").parse().ok())?
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn rewrites_numbers_only_where_an_integer_is_required() {
        let schema = json!({"properties": {
            "count": {"type": "integer"},
            "year": {"type": ["integer", "null"]},
            "score": {"type": "number"},
            "sizes": {"type": "array", "items": {"type": "integer"}},
            "free": {"type": "object"},
        }});
        let mut value = json!({
            "count": 290.0, "year": -1e3, "score": 1.0, "sizes": [1.0, 2, -0.0],
            "free": {"count": 1.0}, "unknown": 1.0,
        });
        write(&schema, &mut value);
        let expected = r#"{"count":290,"free":{"count":1.0},"score":1.0,"sizes":[1,2,0],"unknown":1.0,"year":-1000}"#;
        assert_eq!(value.to_string(), expected);
    }

    #[test]
    fn keeps_numbers_that_do_not_fit() {
        for number in [1.5, 1e19, -1e19] {
            let mut value = json!(number);
            write(&json!({"type": "integer"}), &mut value);
            assert_eq!(value, json!(number));
        }
    }
}
