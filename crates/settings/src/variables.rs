//! The layers of variables: the environment, and `.env` files.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use crate::error::InvalidSetting;
use crate::layers::{Layer, unknown, unreadable};
use crate::section::Key;

/// Prefix of the variables of this program. A variable with it must match a key.
const PREFIX: &str = "SOVD__";

/// Returns whether a variable of the process may be a setting.
pub(crate) fn is_setting(name: &str) -> bool {
    let plain = name.strip_suffix("_FILE").unwrap_or(name);
    name.starts_with(PREFIX) || Key::all().any(|key| key.customary == Some(plain))
}

/// Returns the values of `keys` in the variables of `place`, which is `environment` or a file.
pub(crate) fn layer(
    variables: &BTreeMap<String, String>,
    place: &str,
    keys: &[&'static Key],
    problems: &mut Vec<InvalidSetting>,
) -> Layer {
    report_unknown(variables, place, problems);
    let mut layer = Layer::default();
    for key in keys {
        for name in key.variables() {
            match value_of(key, &name, variables, place) {
                Ok(Some((value, origin))) => layer.insert(key.path, &origin, value),
                Ok(None) => {}
                Err(problem) => problems.push(problem),
            }
        }
    }
    layer
}

fn report_unknown(
    variables: &BTreeMap<String, String>,
    place: &str,
    problems: &mut Vec<InvalidSetting>,
) {
    let known: BTreeSet<String> = Key::all().map(Key::variable).collect();
    let is_known = |name: &String| known.contains(name.strip_suffix("_FILE").unwrap_or(name));
    problems.extend(
        variables
            .keys()
            .filter(|name| name.starts_with(PREFIX) && !is_known(name))
            .map(|name| unknown(name, place)),
    );
}

/// Returns the value and origin of a variable, set directly or by the file that its `_FILE`
/// variable names. An empty `_FILE` is absent: compose files pass unset variables on as empty ones.
fn value_of(
    key: &'static Key,
    name: &str,
    variables: &BTreeMap<String, String>,
    place: &str,
) -> Result<Option<(String, String)>, InvalidSetting> {
    let file_name = format!("{name}_FILE");
    let file = variables.get(&file_name).filter(|path| !path.is_empty());
    let invalid = |message| InvalidSetting::of(key.path, message);
    match (variables.get(name), file) {
        (None, None) => Ok(None),
        (Some(_), Some(_)) => Err(invalid(format!(
            "{name} and {file_name} (from {place}) are both set: keep one"
        ))),
        (Some(value), None) => Ok(Some((value.clone(), format!("{place} {name}")))),
        (None, Some(path)) => match fs::read_to_string(path) {
            Ok(text) => {
                let named_by = match place {
                    "environment" => file_name,
                    _ => format!("{place} {file_name}"),
                };
                let value = text.trim_end_matches(['\r', '\n']).to_owned();
                Ok(Some((value, format!("file {path} named by {named_by}"))))
            }
            Err(error) => Err(invalid(format!(
                "{file_name} (from {place}) names {path}, which cannot be read: {error}"
            ))),
        },
    }
}

/// Reads a `.env` file; an absent one has no variables. The last of two equal names wins.
pub(crate) fn read_dotenv(
    path: &Path,
    problems: &mut Vec<InvalidSetting>,
) -> BTreeMap<String, String> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => {
            if error.kind() != ErrorKind::NotFound {
                problems.push(unreadable(path, &error));
            }
            return BTreeMap::new();
        }
    };
    // Some editors write a byte order mark, which would become part of the first name.
    let text = text.trim_start_matches('\u{feff}');
    let variables = dotenvy::from_read_iter(text.as_bytes()).collect::<Result<_, _>>();
    variables.unwrap_or_else(|error| {
        let line = line_of(&error, text).map(|line| format!(" line {line}"));
        problems.push(InvalidSetting::of_file(format!(
            "{}{}: expected NAME=value, with a value that holds spaces in quotes",
            path.display(),
            line.unwrap_or_default()
        )));
        BTreeMap::new()
    })
}

/// Finds the number of the line that the error quotes. The line itself may contain a secret.
fn line_of(error: &dotenvy::Error, text: &str) -> Option<usize> {
    let dotenvy::Error::LineParse(quoted, _) = error else {
        return None;
    };
    let first = quoted.lines().next()?.trim_end();
    text.lines()
        .position(|line| line.trim_end() == first)
        .map(|index| index + 1)
}
