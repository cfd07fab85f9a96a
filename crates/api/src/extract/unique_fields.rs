use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Value};

/// JSON whose objects contain each name once. Parsers disagree about which duplicate wins (RFC 8259,
/// section 4), so a proxy could check one value and the server use another.
///
/// `serde_json` keeps the last duplicate without a warning, and the duplicate checks of `serde_with`
/// apply to typed maps, not to the objects nested in a [`Value`].
pub(super) struct UniqueFields(pub(super) Value);

impl<'de> Deserialize<'de> for UniqueFields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor).map(Self)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut array = Vec::new();
        while let Some(UniqueFields(item)) = items.next_element()? {
            array.push(item);
        }
        Ok(array.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some((name, UniqueFields(value))) = fields.next_entry::<String, UniqueFields>()? {
            if object.insert(name, value).is_some() {
                return Err(A::Error::custom("duplicate field"));
            }
        }
        Ok(object.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_other_json_like_serde_json() {
        let text = r#"{"a":[null,true,-1,18446744073709551615,1.5,"x\n",[],{}],"b":{"a":{"b":1}}}"#;
        let UniqueFields(value) = serde_json::from_str(text).unwrap();
        assert_eq!(value, serde_json::from_str::<Value>(text).unwrap());
    }

    #[test]
    fn rejects_duplicate_fields_at_every_depth() {
        for text in [
            r#"{"a":1,"a":1}"#,
            r#"{"a":1,"b":2,"\u0061":3}"#,
            r#"[{"b":{"a":1,"a":null}}]"#,
        ] {
            let error = serde_json::from_str::<UniqueFields>(text).err().unwrap();
            assert!(error.is_data(), "{text}: {error}");
        }
    }
}
