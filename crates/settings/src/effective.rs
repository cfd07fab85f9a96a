use std::collections::BTreeMap;

use config::{Config, ConfigError, ValueKind};

use crate::Settings;
use crate::error::Problem;
use crate::key::Key;
use crate::origin::{Origin, Origins, Row};

/// The value of each key after the sources read so far; a later source replaces an earlier one.
#[derive(Default)]
pub(crate) struct Effective(BTreeMap<&'static str, Entry>);

/// One value and where it was read.
pub(crate) struct Entry {
    pub(crate) key: &'static Key,
    pub(crate) value: ValueKind,
    pub(crate) origin: Origin,
}

impl Entry {
    pub(crate) fn text(&self) -> Option<&str> {
        match &self.value {
            ValueKind::String(text) => Some(text),
            _ => None,
        }
    }

    /// The problem that this value is not what the key accepts.
    pub(crate) fn invalid(&self, expected: impl Into<String>) -> Problem {
        Problem::Invalid {
            key: self.key.path,
            value: self.key.shown(&self.value),
            origin: self.origin.to_string(),
            expected: expected.into(),
        }
    }
}

impl Extend<Entry> for Effective {
    fn extend<T: IntoIterator<Item = Entry>>(&mut self, entries: T) {
        self.0
            .extend(entries.into_iter().map(|entry| (entry.key.path, entry)));
    }
}

impl Effective {
    pub(crate) fn get(&self, path: &str) -> Option<&Entry> {
        self.0.get(path)
    }

    /// Replaces each value by the form its field takes. A value that is not accepted is taken
    /// out, so that no rule judges it a second time.
    pub(crate) fn check(&mut self, problems: &mut Vec<Problem>) {
        self.0.retain(|_, entry| {
            let Some(value) = entry.key.accepts.read(&entry.value) else {
                problems.push(entry.invalid(entry.key.accepts.expected()));
                return false;
            };
            entry.value = value;
            true
        });
    }

    /// One row for each key that exists.
    pub(crate) fn rows(&self) -> Origins {
        let row = |key: &'static Key| match self.get(key.path) {
            Some(entry) => Row {
                key: key.path,
                value: key.shown(&entry.value),
                origin: entry.origin.to_string(),
            },
            None => Row {
                key: key.path,
                value: key.shown(&ValueKind::Nil),
                origin: Origin::Default.to_string(),
            },
        };
        Origins(Key::all().map(row).collect())
    }

    /// The typed settings. Everything was checked before, so an error here means that a key and
    /// its field disagree.
    pub(crate) fn deserialize(self) -> Result<Settings, Problem> {
        let mut builder = Config::builder();
        for (path, entry) in self.0 {
            let unfit = |_| Problem::Unfit {
                key: path.to_owned(),
            };
            builder = builder.set_override(path, entry.value).map_err(unfit)?;
        }
        builder
            .build()
            .and_then(Config::try_deserialize)
            .map_err(|error| unfit(&error))
    }
}

/// Keeps the key of the error and drops its text, which quotes the value.
fn unfit(error: &ConfigError) -> Problem {
    let key = match error {
        ConfigError::Type { key: Some(key), .. }
        | ConfigError::At { key: Some(key), .. }
        | ConfigError::NotFound(key) => key,
        _ => "a key",
    };
    Problem::Unfit {
        key: key.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files;

    #[test]
    fn an_error_of_the_deserializer_is_reduced_to_its_key() {
        let mut effective = Effective::default();
        effective.extend(files::defaults(None, &mut Vec::new()));
        effective.extend(
            [
                ("environment", "test"),
                ("database.url", "postgres://localhost"),
                ("auth.jwt_secret", "x"),
                ("auth.refresh_days", "hunter2"),
            ]
            .map(|(path, value)| Entry {
                key: Key::find(path).unwrap(),
                value: value.into(),
                origin: Origin::Default,
            }),
        );

        let problem = effective.deserialize().unwrap_err();

        assert_eq!(
            problem.to_string(),
            "auth.refresh_days does not fit its field in Settings"
        );
        assert!(!format!("{problem:?}").contains("hunter2"), "{problem:?}");
    }
}
