//! The layers of configuration files.

use std::error::Error;
use std::fmt;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use config::{ConfigError, FileFormat, Format, Map, Source, Value, ValueKind};

use crate::DeploymentEnvironment;
use crate::effective_values::invalid;
use crate::error::InvalidSetting;
use crate::section::Key;

/// Origin of a value that no source sets.
pub(crate) const DEFAULT_ORIGIN: &str = "built-in default";

const ANOMALY_RULES: &str = "maintenance.anomaly_rules";

pub(crate) const DEFAULT: &str = include_str!("../../../config/default.toml");
pub(crate) const DEVELOPMENT: &str = include_str!("../../../config/development.toml");
pub(crate) const PRODUCTION: &str = include_str!("../../../config/production.toml");

/// The values of one source by dotted path. Each value names its origin.
///
/// The sources of `config` stop at the first problem, ignore files that cannot be read, and do not
/// record the name of a variable.
#[derive(Clone, Default)]
pub(crate) struct Layer(Map<String, Value>);

impl Layer {
    pub(crate) fn insert(&mut self, path: &str, origin: &str, value: impl Into<ValueKind>) {
        let value = Value::new(Some(&origin.to_owned()), value);
        self.0.insert(path.to_owned(), value);
    }

    pub(crate) fn get(&self, path: &str) -> Option<&Value> {
        self.0.get(path)
    }
}

/// Shows no values, which may be secrets.
impl fmt::Debug for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Source for Layer {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, ConfigError> {
        Ok(self.0.clone())
    }
}

/// Returns the built-in defaults, and the files of the directory that apply to every environment.
pub(crate) fn defaults(dir: Option<&Path>, problems: &mut Vec<InvalidSetting>) -> Vec<Layer> {
    let mut built_in = parse(DEFAULT, DEFAULT_ORIGIN, problems);
    built_in.insert(
        DeploymentEnvironment::PATH,
        DEFAULT_ORIGIN,
        DeploymentEnvironment::default().to_string(),
    );
    let mut layers = vec![built_in];
    layers.extend(anomaly_rules(dir));
    layers.extend(on_disk(dir, "default.toml", problems));
    layers
}

/// The detection rules in the directory, if there are any. Their consumer reads the file.
fn anomaly_rules(dir: Option<&Path>) -> Option<Layer> {
    let path = dir?.join("anomaly_rules.toml");
    let text = path.to_str().filter(|_| path.exists())?;
    let mut layer = Layer::default();
    layer.insert(ANOMALY_RULES, text, text);
    Some(layer)
}

/// Returns the file of an environment in the directory, or else its built-in copy.
pub(crate) fn of_environment(
    environment: DeploymentEnvironment,
    dir: Option<&Path>,
    problems: &mut Vec<InvalidSetting>,
) -> Layer {
    let name = format!("{environment}.toml");
    on_disk(dir, &name, problems).unwrap_or_else(|| {
        let built_in = match environment {
            DeploymentEnvironment::Development => DEVELOPMENT,
            DeploymentEnvironment::Production => PRODUCTION,
            DeploymentEnvironment::Test => "",
        };
        parse(built_in, &format!("built-in {name}"), problems)
    })
}

/// Returns `None` if there is no such file, and an empty layer if it cannot be used.
fn on_disk(dir: Option<&Path>, name: &str, problems: &mut Vec<InvalidSetting>) -> Option<Layer> {
    let path = dir?.join(name);
    match fs::read_to_string(&path) {
        Ok(text) => Some(parse(&text, &path.display().to_string(), problems)),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => {
            problems.push(unreadable(&path, &error));
            Some(Layer::default())
        }
    }
}

pub(crate) fn unreadable(path: &Path, reason: &impl fmt::Display) -> InvalidSetting {
    InvalidSetting::of_file(format!("{} cannot be read: {reason}", path.display()))
}

pub(crate) fn parse(text: &str, origin: &str, problems: &mut Vec<InvalidSetting>) -> Layer {
    let mut layer = Layer::default();
    match FileFormat::Toml.parse(Some(&origin.to_owned()), text) {
        Ok(table) => flatten("", table, origin, &mut layer, problems),
        Err(error) => problems.push(not_toml(error.as_ref(), origin)),
    }
    layer
}

/// Drops the quoted line of the message, which may contain a secret, and keeps its position and
/// the reason, which are on the first and last lines.
fn not_toml(error: &dyn Error, file: &str) -> InvalidSetting {
    let text = error.to_string();
    let line = text
        .strip_prefix("TOML parse error at line ")
        .and_then(|rest| rest.split(',').next());
    InvalidSetting::of_file(match line {
        Some(line) => {
            let reason = text.lines().last().unwrap_or_default();
            format!("{file} line {line}: not valid TOML: {reason}")
        }
        None => format!("{file}: not valid TOML: a number does not fit into 64 bits"),
    })
}

fn flatten(
    section: &str,
    table: Map<String, Value>,
    origin: &str,
    layer: &mut Layer,
    problems: &mut Vec<InvalidSetting>,
) {
    for (name, value) in table {
        let path = if section.is_empty() {
            name
        } else {
            format!("{section}.{name}")
        };
        let key = Key::find(&path);
        let is_section = Key::all().any(|key| key.is_in(&path));
        match (key, value.kind) {
            (Some(key), _) if key.path == DeploymentEnvironment::PATH => {
                problems.push(InvalidSetting::new(format!(
                    "environment (from {origin}) cannot be set in a file: set SOVD_ENVIRONMENT"
                )));
            }
            // Merging a table would drop its origin.
            (Some(key), kind @ ValueKind::Table(_)) => {
                let value = Value::new(Some(&origin.to_owned()), kind);
                problems.push(invalid(key, &value, &(key.expected)()));
            }
            (Some(_), kind) => layer.insert(&path, origin, kind),
            (None, ValueKind::Table(table)) if is_section => {
                flatten(&path, table, origin, layer, problems);
            }
            (None, _) if is_section => problems.push(InvalidSetting::of(
                &path,
                format!("{path} (from {origin}): expected a section, not a value"),
            )),
            (None, _) => problems.push(unknown(&path, origin)),
        }
    }
}

/// Returns the problem that a key or variable does not exist.
pub(crate) fn unknown(name: &str, origin: &str) -> InvalidSetting {
    InvalidSetting::new(format!("{name} (from {origin}) is not a setting"))
}
