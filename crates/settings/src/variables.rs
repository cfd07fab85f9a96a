//! The values in variables: the environment, and `.env` files.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::key::Key;
use crate::loader::Loader;
use crate::sections::KEYS;

/// Prefix of the variables of this program. A variable with it must match a key.
const PREFIX: &str = "SOVD__";

/// Returns whether a variable of the process may be a setting.
pub(crate) fn is_setting(name: &str) -> bool {
    let plain = name.strip_suffix("_FILE").unwrap_or(name);
    name.starts_with(PREFIX) || KEYS.iter().any(|key| key.customary == Some(plain))
}

impl Loader<'_> {
    /// Reads the variables of `place`, which is `environment` or a file.
    pub(crate) fn read_variables(&mut self, variables: &BTreeMap<String, String>, place: &str) {
        for name in variables.keys().filter(|name| name.starts_with(PREFIX)) {
            let plain = name.strip_suffix("_FILE").unwrap_or(name);
            if !KEYS.iter().any(|key| key.variable() == plain) {
                self.reject_unknown(name, place);
            }
        }
        for key in self.keys {
            for name in key.variables() {
                self.read_variable(key, &name, variables, place);
            }
        }
    }

    /// Reads a variable, set directly or by the file that its `_FILE` variable names. An empty
    /// `_FILE` is absent: compose files pass unset variables on as empty ones.
    fn read_variable(
        &mut self,
        key: &Key,
        name: &str,
        variables: &BTreeMap<String, String>,
        place: &str,
    ) {
        let file_name = format!("{name}_FILE");
        let file = variables.get(&file_name).filter(|path| !path.is_empty());
        match (variables.get(name), file) {
            (None, None) => {}
            (Some(_), Some(_)) => {
                let problem =
                    format!("{name} and {file_name} (from {place}) are both set: keep one");
                self.fail(key.path, problem);
            }
            (Some(value), None) => self.set(key.path, &format!("{place} {name}"), value.as_str()),
            (None, Some(path)) => match fs::read_to_string(path) {
                Ok(text) => {
                    let named_by = match place {
                        "environment" => file_name,
                        _ => format!("{place} {file_name}"),
                    };
                    let value = text.trim_end_matches(['\r', '\n']);
                    self.set(key.path, &format!("file {path} named by {named_by}"), value);
                }
                Err(error) => {
                    let reason = format!("names {path}, which cannot be read: {error}");
                    self.fail(key.path, format!("{file_name} (from {place}) {reason}"));
                }
            },
        }
    }

    /// Reads a `.env` file; an absent one has no variables. The last of two equal names wins.
    pub(crate) fn read_dotenv(&mut self, path: &Path) {
        let text = self.text_of(path).unwrap_or_default();
        // Some editors write a byte order mark, which would become part of the first name.
        let text = text.trim_start_matches('\u{feff}');
        let place = path.display().to_string();
        match dotenvy::from_read_iter(text.as_bytes()).collect::<Result<_, _>>() {
            Ok(variables) => self.read_variables(&variables, &place),
            Err(error) => {
                let line = line_of(&error, text).map(|line| format!(" line {line}"));
                let line = line.unwrap_or_default();
                let expected = "expected NAME=value, with a value that holds spaces in quotes";
                self.fail("", format!("{place}{line}: {expected}"));
            }
        }
    }
}

/// Finds the number of the line that the error quotes. The line itself may contain a secret.
fn line_of(error: &dotenvy::Error, text: &str) -> Option<usize> {
    let dotenvy::Error::LineParse(quoted, _) = error else {
        return None;
    };
    let first = quoted.lines().next()?.trim_end();
    let index = text.lines().position(|line| line.trim_end() == first)?;
    Some(index + 1)
}
