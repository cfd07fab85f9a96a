//! The values in files.

use std::error::Error;
use std::fmt;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use config::{FileFormat, Format, Map, Value, ValueKind};

use crate::DeploymentEnvironment;
use crate::key::Key;
use crate::loader::{DEFAULT_ORIGIN, Loader, origin};
use crate::sections::{ENVIRONMENT, KEYS};

pub(crate) const DEFAULT: &str = include_str!("../../../config/default.toml");
pub(crate) const DEVELOPMENT: &str = include_str!("../../../config/development.toml");
pub(crate) const PRODUCTION: &str = include_str!("../../../config/production.toml");

impl Loader<'_> {
    /// Reads the built-in defaults, and the files of the directory that apply to every environment.
    pub(crate) fn read_defaults(&mut self, dir: Option<&Path>) {
        self.parse(DEFAULT, DEFAULT_ORIGIN);
        let environment = DeploymentEnvironment::default();
        self.set(ENVIRONMENT, DEFAULT_ORIGIN, environment.to_string());
        // The detection rules apply if they are in the directory. Their consumer reads the file.
        let rules = dir.map(|dir| dir.join("anomaly_rules.toml"));
        let rules = rules.filter(|path| path.exists());
        if let Some(path) = rules.as_deref().and_then(Path::to_str) {
            self.set("maintenance.anomaly_rules", path, path);
        }
        self.read_file(dir, "default.toml");
    }

    /// Reads the file of an environment in the directory, or else its built-in copy.
    pub(crate) fn read_environment(
        &mut self,
        environment: DeploymentEnvironment,
        dir: Option<&Path>,
    ) {
        let name = format!("{environment}.toml");
        if self.read_file(dir, &name).is_none() {
            let built_in = match environment {
                DeploymentEnvironment::Development => DEVELOPMENT,
                DeploymentEnvironment::Production => PRODUCTION,
                DeploymentEnvironment::Test => "",
            };
            self.parse(built_in, &format!("built-in {name}"));
        }
    }

    /// Reads a file of the directory. Returns `None` if there is no such file.
    fn read_file(&mut self, dir: Option<&Path>, name: &str) -> Option<()> {
        let path = dir?.join(name);
        let text = self.text_of(&path)?;
        self.parse(&text, &path.display().to_string());
        Some(())
    }

    /// Returns the text of a file, which is empty if the file cannot be read, or `None` if there is
    /// no such file.
    pub(crate) fn text_of(&mut self, path: &Path) -> Option<String> {
        match fs::read_to_string(path) {
            Ok(text) => Some(text),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => {
                self.fail("", unreadable(path, &error));
                Some(String::new())
            }
        }
    }

    pub(crate) fn parse(&mut self, text: &str, origin: &str) {
        match FileFormat::Toml.parse(Some(&origin.to_owned()), text) {
            Ok(table) => self.read_table("", &table),
            Err(error) => self.fail("", not_toml(error.as_ref(), origin)),
        }
    }

    /// Reads the values of a table, whose paths begin with `prefix`.
    fn read_table(&mut self, prefix: &str, table: &Map<String, Value>) {
        for (name, value) in table {
            let path = format!("{prefix}{name}");
            let is_section = KEYS.iter().any(|key| key.is_in(&path));
            let origin = origin(value);
            match (Key::find(&path), &value.kind) {
                (Some(key), _) if key.path == ENVIRONMENT => self.problems.push(format!(
                    "environment (from {origin}) cannot be set in a file: set SOVD_ENVIRONMENT"
                )),
                (Some(key), ValueKind::Table(_)) => {
                    self.reject(key, value, &key.kind.expected());
                }
                (Some(_), _) => {
                    self.values.insert(path, value.clone());
                }
                (None, ValueKind::Table(table)) if is_section => {
                    self.read_table(&format!("{path}."), table);
                }
                (None, _) if is_section => {
                    let problem =
                        format!("{path} (from {origin}): expected a section, not a value");
                    self.fail(&path, problem);
                }
                (None, _) => self.reject_unknown(&path, origin),
            }
        }
    }
}

pub(crate) fn unreadable(path: &Path, reason: &impl fmt::Display) -> String {
    format!("{} cannot be read: {reason}", path.display())
}

/// Drops the quoted line of the message, which may contain a secret, and keeps its position and
/// the reason, which are on the first and last lines.
fn not_toml(error: &dyn Error, file: &str) -> String {
    let text = error.to_string();
    let position = text.strip_prefix("TOML parse error at line ");
    match position.and_then(|rest| rest.split_once(',')) {
        Some((line, _)) => {
            let reason = text.lines().last().unwrap_or_default();
            format!("{file} line {line}: not valid TOML: {reason}")
        }
        None => format!("{file}: not valid TOML: a number does not fit into 64 bits"),
    }
}
