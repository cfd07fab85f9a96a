use config::{Config, ConfigError};
use serde::de::DeserializeOwned;

use crate::effective_values::EffectiveValues;
use crate::error::{InvalidSetting, SettingsError};
use crate::layers::{self, Layer};
use crate::section::Key;
use crate::{DeploymentEnvironment, Settings, Sources, rules, variables};

/// Settings, and the origin of each value.
#[derive(Debug, Clone)]
pub struct Loaded<T = Settings> {
    /// The settings.
    pub settings: T,
    values: Vec<EffectiveValue>,
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

impl<T> Loaded<T> {
    /// Returns the value of each key, without secrets.
    #[must_use]
    pub fn describe(&self) -> &[EffectiveValue] {
        &self.values
    }
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
        load(sources, &Key::all().collect::<Vec<_>>())
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
    let is_selected = |key: &&'static Key| {
        let is_in_section = sections.iter().any(|section| key.is_in(section));
        is_in_section || key.path == DeploymentEnvironment::PATH
    };
    load(sources, &Key::all().filter(is_selected).collect::<Vec<_>>())
}

fn load<T: DeserializeOwned>(
    sources: Sources,
    keys: &[&'static Key],
) -> Result<Loaded<T>, SettingsError> {
    let mut problems = Vec::new();
    let dir = sources.config_dir.clone();
    let given = given(sources, keys, &mut problems);
    let environment = environment(&given);

    let mut layers = layers::defaults(dir.as_deref(), &mut problems);
    if let Some(environment) = environment {
        let dir = dir.as_deref();
        layers.push(layers::of_environment(environment, dir, &mut problems));
    }
    let mut builder = Config::builder();
    for layer in layers.into_iter().chain(given) {
        builder = builder.add_source(layer);
    }
    let config = builder.build().map_err(|error| mismatch(&error))?;
    let values = EffectiveValues::validate(&config, keys, &mut problems);
    rules::check(&values, environment, &mut problems);
    if !problems.is_empty() {
        return Err(SettingsError::new(problems));
    }
    let described = values.list();
    Ok(Loaded {
        settings: values.deserialize().map_err(|error| mismatch(&error))?,
        values: described,
    })
}

/// Keeps the key of the error and drops its message, which quotes the value.
fn mismatch(error: &ConfigError) -> SettingsError {
    let key = match error {
        ConfigError::Type { key: Some(key), .. }
        | ConfigError::At { key: Some(key), .. }
        | ConfigError::NotFound(key) => key,
        _ => "a key",
    };
    let problem = InvalidSetting::new(format!("{key} does not match its field"));
    SettingsError::new(vec![problem])
}

/// Returns the layers above the files, in ascending order of precedence. They are read first
/// because they select the file of the environment.
fn given(
    sources: Sources,
    keys: &[&'static Key],
    problems: &mut Vec<InvalidSetting>,
) -> Vec<Layer> {
    let mut layers = Vec::new();
    if let Some(path) = sources.dotenv {
        let variables = variables::read_dotenv(&path, problems);
        let place = path.display().to_string();
        layers.push(variables::layer(&variables, &place, keys, problems));
    }
    layers.push(variables::layer(
        &sources.env,
        "environment",
        keys,
        problems,
    ));
    let mut overrides = Layer::default();
    for (path, value) in sources.overrides {
        match Key::find(&path) {
            Some(key) => overrides.insert(key.path, "override", value),
            None => problems.push(layers::unknown(&path, "override")),
        }
    }
    layers.push(overrides);
    layers
}

/// Returns `None` if the name is not accepted, which the validation of the values reports.
fn environment(given: &[Layer]) -> Option<DeploymentEnvironment> {
    let path = DeploymentEnvironment::PATH;
    match given.iter().rev().find_map(|layer| layer.get(path)) {
        Some(value) => value.to_string().parse().ok(),
        None => Some(DeploymentEnvironment::default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The values at the bounds of a number, or all values of a choice or switch.
    fn samples(expected: &str) -> Vec<&str> {
        if let Some(bounds) = expected.strip_prefix("a whole number from ") {
            bounds.split(" to ").collect()
        } else if let Some(names) = expected.strip_prefix("one of ") {
            names.split(", ").collect()
        } else if expected == "true or false" {
            vec!["true", "false"]
        } else {
            Vec::new()
        }
    }

    #[test]
    fn every_number_choice_and_switch_reaches_its_field() {
        for key in Key::all().filter(|key| key.path != DeploymentEnvironment::PATH) {
            for value in samples(&(key.expected)()) {
                let overrides = [
                    ("database.url", "postgres://localhost/sovd"),
                    // Wide bounds, so that no rule about two numbers applies.
                    ("connector.mock.min_delay_ms", "0"),
                    ("connector.mock.max_delay_ms", "600000"),
                    ("dispatch.first_retry_ms", "1"),
                    ("dispatch.longest_retry_ms", "3600000"),
                    ("streams.ping_seconds", "1"),
                    ("streams.idle_seconds", "86400"),
                    // Required by some of the algorithms.
                    ("auth.jwt_private_key", "x"),
                    (key.path, value),
                ];
                let overrides = overrides.map(|(path, value)| (path.to_owned(), value.to_owned()));
                let loaded = Settings::load(Sources {
                    overrides: overrides.into(),
                    ..Sources::default()
                });
                let settings = match loaded {
                    Ok(loaded) => format!("{:?}", loaded.settings).to_lowercase(),
                    Err(error) => panic!("{error}"),
                };
                let field = key.path.rsplit('.').next().unwrap();
                let expected = format!("{field}: {}", value.to_lowercase());
                assert!(settings.contains(&expected), "{expected} in {settings}");
            }
        }
    }
}
