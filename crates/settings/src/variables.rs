use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use crate::effective::Entry;
use crate::error::Problem;
use crate::key::Key;
use crate::origin::{Origin, Place};

/// What every variable that must reach a key begins with.
const PREFIX: &str = "SOVD__";

/// The values that variables of one place give, the `SOVD__` name of a key after its customary
/// one.
pub(crate) fn read(
    variables: &BTreeMap<String, String>,
    place: &Place,
    problems: &mut Vec<Problem>,
) -> Vec<Entry> {
    report_unknown(variables, place, problems);
    let mut entries = Vec::new();
    for key in Key::all() {
        for name in key.variables() {
            match value_of(key, name, variables, place) {
                Ok(entry) => entries.extend(entry),
                Err(problem) => problems.push(problem),
            }
        }
    }
    entries
}

/// Whether a variable of the process can matter to the settings.
pub(crate) fn is_ours(name: &str) -> bool {
    let plain = name.strip_suffix("_FILE").unwrap_or(name);
    name.starts_with(PREFIX) || Key::all().any(|key| key.flat == Some(plain))
}

fn report_unknown(
    variables: &BTreeMap<String, String>,
    place: &Place,
    problems: &mut Vec<Problem>,
) {
    let known: BTreeSet<String> = Key::all().map(Key::variable).collect();
    let is_known = |name: &String| {
        known.contains(name.strip_suffix("_FILE").unwrap_or(name)) || known.contains(name)
    };
    problems.extend(
        variables
            .keys()
            .filter(|name| name.starts_with(PREFIX) && !is_known(name))
            .map(|name| Problem::UnknownVariable {
                name: name.clone(),
                place: place.to_string(),
            }),
    );
}

/// The value of one variable, direct or through the file that its `_FILE` twin names. An empty
/// `_FILE` is not set: compose files pass absent variables on as empty ones.
fn value_of(
    key: &'static Key,
    name: String,
    variables: &BTreeMap<String, String>,
    place: &Place,
) -> Result<Option<Entry>, Problem> {
    let file_name = format!("{name}_FILE");
    let file = variables.get(&file_name).filter(|path| !path.is_empty());
    let (value, origin) = match (variables.get(&name), file) {
        (None, None) => return Ok(None),
        (Some(_), Some(_)) => {
            return Err(Problem::BothSet {
                key: key.path,
                name,
                place: place.to_string(),
            });
        }
        (Some(value), None) => (
            value.clone(),
            Origin::Variable {
                place: place.clone(),
                name,
            },
        ),
        (None, Some(path)) => {
            let path = PathBuf::from(path);
            match fs::read_to_string(&path) {
                Ok(text) => {
                    let value = text.trim_end_matches(['\r', '\n']).to_owned();
                    (
                        value,
                        Origin::SecretFile {
                            path,
                            place: place.clone(),
                            name: file_name,
                        },
                    )
                }
                Err(error) => {
                    return Err(Problem::UnreadableValue {
                        key: key.path,
                        name: file_name,
                        place: place.to_string(),
                        path,
                        reason: error.to_string(),
                    });
                }
            }
        }
    };
    Ok(Some(Entry {
        key,
        value: value.into(),
        origin,
    }))
}
