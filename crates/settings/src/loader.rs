use std::collections::BTreeMap;
use std::mem;

use config::{Config, ConfigError, Value, ValueKind};
use serde::de::DeserializeOwned;

use crate::key::Key;
use crate::{EffectiveValue, Loaded, SettingsError};

/// Origin of a value that no source sets.
pub(crate) const DEFAULT_ORIGIN: &str = "built-in default";

/// Collects the values of all sources, and every problem found.
///
/// The sources of `config` stop at the first problem, ignore files that cannot be read, and do not
/// record the name of a variable.
#[derive(Default)]
pub(crate) struct Loader<'a> {
    /// The keys to load.
    pub(crate) keys: &'a [&'static Key],
    /// Values by path, each with its origin. A later source replaces the value of an earlier one.
    pub(crate) values: BTreeMap<String, Value>,
    pub(crate) problems: Vec<String>,
    /// Paths of keys and sections that may have no value because of a problem.
    pub(crate) affected: Vec<String>,
}

impl Loader<'_> {
    pub(crate) fn set(&mut self, path: &str, origin: &str, value: impl Into<ValueKind>) {
        let value = Value::new(Some(&origin.to_owned()), value);
        self.values.insert(path.to_owned(), value);
    }

    /// Adds the problem that a key or variable does not exist.
    pub(crate) fn reject_unknown(&mut self, name: &str, origin: &str) {
        let problem = format!("{name} (from {origin}) is not a setting");
        self.problems.push(problem);
    }

    /// Adds a problem that leaves a key or section without a value; an empty path stands for all.
    pub(crate) fn fail(&mut self, path: &str, problem: String) {
        self.affected.push(path.to_owned());
        self.problems.push(problem);
    }

    /// Adds the problem that `value` is not what is expected of a key.
    pub(crate) fn reject(&mut self, key: &Key, value: &Value, expected: &str) {
        let (path, shown, origin) = (key.path, key.show(&value.kind), origin(value));
        let problem = format!("{path} = {shown} (from {origin}): expected {expected}");
        self.fail(path, problem);
    }

    /// Returns whether a problem explains why `key` has no value.
    pub(crate) fn explains_absence_of(&self, key: &Key) -> bool {
        self.affected.iter().any(|path| key.is_in(path))
    }

    /// Keeps the valid values of the keys to load, so that no rule reports the others again.
    pub(crate) fn validate(&mut self) {
        let mut merged = mem::take(&mut self.values);
        for key in self.keys {
            let Some(mut value) = merged.remove(key.path) else {
                continue;
            };
            if let Some(valid) = key.kind.validate(&value.kind) {
                value.kind = valid;
                self.values.insert(key.path.to_owned(), value);
            } else {
                self.reject(key, &value, &key.kind.expected());
            }
        }
    }

    /// Returns the value of a key, unless it is absent, invalid or cleared by an empty text.
    pub(crate) fn get(&self, path: &str) -> Option<&Value> {
        let value = self.values.get(path);
        value.filter(|value| value.kind != ValueKind::Nil)
    }

    pub(crate) fn text(&self, path: &str) -> Option<String> {
        self.get(path)?.clone().into_string().ok()
    }

    pub(crate) fn number(&self, path: &str) -> Option<i64> {
        self.get(path)?.clone().into_int().ok()
    }

    pub(crate) fn is_on(&self, path: &str) -> bool {
        self.get(path)
            .is_some_and(|value| value.kind == true.into())
    }

    /// Adds the problem that a rule rejects the value of a key, unless it has none.
    pub(crate) fn reject_by_rule(&mut self, path: &str, expected: &str) {
        if let (Some(key), Some(value)) = (Key::find(path), self.get(path).cloned()) {
            self.reject(key, &value, expected);
        }
    }

    /// Deserializes the settings, unless there are problems.
    pub(crate) fn finish<T: DeserializeOwned>(self) -> Result<Loaded<T>, SettingsError> {
        let problems = self.problems;
        if !problems.is_empty() {
            return Err(SettingsError { problems });
        }
        let describe = |key: &&'static Key| {
            let value = self.values.get(key.path);
            EffectiveValue {
                key: key.path,
                value: key.show(value.map_or(&ValueKind::Nil, |value| &value.kind)),
                origin: value.map_or(DEFAULT_ORIGIN, origin).to_owned(),
            }
        };
        Ok(Loaded {
            values: self.keys.iter().map(describe).collect(),
            settings: deserialize(self.values).map_err(|error| mismatch(&error))?,
        })
    }
}

pub(crate) fn origin(value: &Value) -> &str {
    value.origin().unwrap_or(DEFAULT_ORIGIN)
}

/// Deserializes valid values, so an error means that a key does not match its field.
fn deserialize<T: DeserializeOwned>(values: BTreeMap<String, Value>) -> Result<T, ConfigError> {
    let mut builder = Config::builder();
    for (path, value) in values {
        builder = builder.set_override(path, value)?;
    }
    builder.build()?.try_deserialize()
}

/// Keeps the key of the error and drops its message, which quotes the value.
fn mismatch(error: &ConfigError) -> SettingsError {
    let key = match error {
        ConfigError::Type { key: Some(key), .. }
        | ConfigError::At { key: Some(key), .. }
        | ConfigError::NotFound(key) => key,
        _ => "a key",
    };
    let problems = vec![format!("{key} does not match its field")];
    SettingsError { problems }
}
