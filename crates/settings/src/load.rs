use std::mem;

use serde::de::DeserializeOwned;

use crate::error::SettingsError;
use crate::key::Key;
use crate::loader::Loader;
use crate::sections::{ENVIRONMENT, KEYS};
use crate::{DeploymentEnvironment, Settings, Sources, rules};

/// Settings, and the origin of each value.
#[derive(Debug, Clone)]
pub struct Loaded<T = Settings> {
    /// The settings.
    pub settings: T,
    /// The value of each key, without secrets.
    pub values: Vec<EffectiveValue>,
}

/// The effective value of one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EffectiveValue {
    /// Dotted path, such as `server.port`.
    pub key: &'static str,
    /// Value in TOML notation; `***` for a secret, `none` if there is no value.
    pub value: String,
    /// Source, such as `config/default.toml` or `environment DATABASE_URL`.
    pub origin: String,
}

impl Settings {
    /// Merges the sources and validates the result. In ascending order of precedence: built-in
    /// defaults, `default.toml`, `{environment}.toml`, `.env`, environment variables, overrides.
    ///
    /// # Errors
    ///
    /// Returns every problem found: unreadable files, unknown keys and variables, missing values,
    /// and values that are not accepted. Production rejects more of them.
    pub fn load(sources: Sources) -> Result<Loaded, SettingsError> {
        load(sources, |_| true)
    }
}

/// Loads only `sections`, such as `["environment", "database"]`, into a struct with a field for
/// each. Values of other sections may be missing or invalid; unknown keys remain errors.
///
/// # Errors
///
/// As [`Settings::load`].
pub fn load_sections<T: DeserializeOwned>(
    sources: Sources,
    sections: &[&str],
) -> Result<Loaded<T>, SettingsError> {
    load(sources, |key| {
        key.path == ENVIRONMENT || sections.iter().any(|section| key.is_in(section))
    })
}

fn load<T: DeserializeOwned>(
    sources: Sources,
    is_selected: impl Fn(&Key) -> bool,
) -> Result<Loaded<T>, SettingsError> {
    let keys: Vec<&Key> = KEYS.iter().filter(|key| is_selected(key)).collect();
    let mut loader = Loader {
        keys: &keys,
        ..Loader::default()
    };
    if let Some(path) = sources.dotenv {
        loader.read_dotenv(&path);
    }
    loader.read_variables(&sources.env, "environment");
    for (path, value) in sources.overrides {
        match Key::find(&path) {
            Some(key) => loader.set(key.path, "override", value),
            None => loader.reject_unknown(&path, "override"),
        }
    }
    // These values select the file of the environment, and override it.
    let given = mem::take(&mut loader.values);
    let environment = match given.get(ENVIRONMENT) {
        // The validation reports a name that is not accepted.
        Some(value) => value.to_string().parse().ok(),
        None => Some(DeploymentEnvironment::default()),
    };
    let dir = sources.config_dir.as_deref();
    loader.read_defaults(dir);
    if let Some(environment) = environment {
        loader.read_environment(environment, dir);
    }
    loader.values.extend(given);
    loader.validate();
    rules::check(&mut loader, environment);
    loader.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kind::Kind;

    /// The values at the bounds of a number, or all values of a choice or switch.
    fn samples(kind: &Kind) -> Vec<String> {
        match kind {
            Kind::Whole(min, max) => vec![min.to_string(), max.to_string()],
            Kind::OneOf(names) => names.iter().map(ToString::to_string).collect(),
            Kind::Switch => vec!["true".to_owned(), "false".to_owned()],
            _ => Vec::new(),
        }
    }

    /// Loads the defaults with this value, within bounds so wide that no rule about two numbers applies.
    fn load_with(path: &str, value: &str) -> Result<Settings, SettingsError> {
        let overrides = [
            ("database.url", "postgres://localhost/sovd"),
            ("connector.mock.min_delay_ms", "0"),
            ("connector.mock.max_delay_ms", "600000"),
            ("dispatch.first_retry_ms", "1"),
            ("dispatch.longest_retry_ms", "3600000"),
            ("streams.ping_seconds", "1"),
            ("streams.idle_seconds", "86400"),
            // Required by some of the algorithms.
            ("auth.jwt_private_key", "x"),
            (path, value),
        ];
        let overrides = overrides.map(|(path, value)| (path.to_owned(), value.to_owned()));
        let loaded = Settings::load(Sources {
            overrides: overrides.into(),
            ..Sources::default()
        });
        Ok(loaded?.settings)
    }

    #[test]
    fn every_number_choice_and_switch_reaches_its_field() {
        for key in KEYS.iter().filter(|key| key.path != ENVIRONMENT) {
            for value in samples(&key.kind) {
                let settings = load_with(key.path, &value).unwrap();
                let settings = format!("{settings:?}").to_lowercase();
                let field = key.path.rsplit('.').next().unwrap();
                let expected = format!("{field}: {}", value.to_lowercase());
                assert!(settings.contains(&expected), "{expected} in {settings}");
            }
        }
    }

    #[test]
    fn every_number_is_rejected_outside_its_bounds() {
        for key in KEYS {
            let Kind::Whole(min, max) = key.kind else {
                continue;
            };
            for value in [min - 1, max + 1].map(|value| value.to_string()) {
                let error = load_with(key.path, &value).unwrap_err().to_string();
                let expected = format!("expected a whole number from {min} to {max}");
                assert!(error.contains(&expected), "{}: {error}", key.path);
            }
        }
    }
}
