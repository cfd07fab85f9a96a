use std::collections::BTreeMap;

use config::{Config, ConfigError, Value, ValueKind};
use serde::de::DeserializeOwned;

use crate::EffectiveValue;
use crate::error::InvalidSetting;
use crate::layers::DEFAULT_ORIGIN;
use crate::section::Key;

/// The valid values of some keys, after all sources were merged.
pub(crate) struct EffectiveValues<'a> {
    keys: &'a [&'static Key],
    values: BTreeMap<&'static str, Value>,
}

impl<'a> EffectiveValues<'a> {
    /// Validates the values of `keys`. A value that is not accepted is left out, so that no rule
    /// reports it again.
    pub(crate) fn validate(
        config: &Config,
        keys: &'a [&'static Key],
        problems: &mut Vec<InvalidSetting>,
    ) -> Self {
        let mut values = BTreeMap::new();
        for key in keys {
            let Some(value) = find(&config.cache, key.path) else {
                continue;
            };
            if let Some(valid) = (key.validate)(&value.kind) {
                let origin = origin(value).to_owned();
                values.insert(key.path, Value::new(Some(&origin), valid));
            } else {
                problems.push(invalid(key, value, &(key.expected)()));
            }
        }
        Self { keys, values }
    }

    /// Returns the key with this path, if its section is loaded.
    pub(crate) fn key(&self, path: &str) -> Option<&'static Key> {
        self.keys.iter().copied().find(|key| key.path == path)
    }

    /// Returns the value of a key, unless it is absent, invalid or cleared by an empty text.
    pub(crate) fn get(&self, path: &str) -> Option<&Value> {
        let value = self.values.get(path);
        value.filter(|value| value.kind != ValueKind::Nil)
    }

    pub(crate) fn text(&self, path: &str) -> Option<&str> {
        match &self.get(path)?.kind {
            ValueKind::String(text) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn number(&self, path: &str) -> Option<i64> {
        match self.get(path)?.kind {
            ValueKind::I64(number) => Some(number),
            _ => None,
        }
    }

    /// Returns whether a switch is on.
    pub(crate) fn is_on(&self, path: &str) -> bool {
        self.get(path)
            .is_some_and(|value| value.kind == ValueKind::Boolean(true))
    }

    /// Returns the problem that a rule rejects the value of a key, unless it has none.
    pub(crate) fn reject(&self, path: &str, expected: &str) -> Option<InvalidSetting> {
        Some(invalid(self.key(path)?, self.get(path)?, expected))
    }

    /// Lists the value of each key, without secrets.
    pub(crate) fn list(&self) -> Vec<EffectiveValue> {
        let describe = |key: &&'static Key| {
            let value = self.values.get(key.path);
            EffectiveValue {
                key: key.path,
                value: key.show(value.map_or(&ValueKind::Nil, |value| &value.kind)),
                origin: value.map_or(DEFAULT_ORIGIN, origin).to_owned(),
            }
        };
        self.keys.iter().map(describe).collect()
    }

    /// Deserializes the values. They are valid, so an error means that a key does not match its
    /// field.
    pub(crate) fn deserialize<T: DeserializeOwned>(self) -> Result<T, ConfigError> {
        let mut builder = Config::builder();
        for (path, value) in self.values {
            builder = builder.set_override(path, value)?;
        }
        builder.build()?.try_deserialize()
    }
}

/// Returns the problem that `value` is not what is expected of a key.
pub(crate) fn invalid(key: &Key, value: &Value, expected: &str) -> InvalidSetting {
    let (path, origin) = (key.path, origin(value));
    let value = key.show(&value.kind);
    InvalidSetting::of(
        path,
        format!("{path} = {value} (from {origin}): expected {expected}"),
    )
}

pub(crate) fn origin(value: &Value) -> &str {
    value.origin().unwrap_or(DEFAULT_ORIGIN)
}

fn find<'a>(root: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.')
        .try_fold(root, |value, name| match &value.kind {
            ValueKind::Table(table) => table.get(name),
            _ => None,
        })
}
