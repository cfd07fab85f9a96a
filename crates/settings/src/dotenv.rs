use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use crate::error::Problem;

/// The variables of a `.env` file; none if there is no such file. Of two lines with one name the
/// last counts.
pub(crate) fn read(path: &Path, problems: &mut Vec<Problem>) -> BTreeMap<String, String> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return BTreeMap::new(),
        Err(error) => {
            let reason = error.to_string();
            problems.push(Problem::UnreadableFile {
                path: path.to_owned(),
                reason,
            });
            return BTreeMap::new();
        }
    };
    // Editors on Windows put a byte order mark first, which would become part of a name.
    let text = text.trim_start_matches('\u{feff}');
    dotenvy::from_read_iter(text.as_bytes())
        .collect::<Result<_, _>>()
        .unwrap_or_else(|error| {
            problems.push(Problem::Syntax {
                file: path.display().to_string(),
                line: line_of(&error, text),
                reason: "expected NAME=value, with a value that holds spaces in quotes".to_owned(),
            });
            BTreeMap::new()
        })
}

/// The parser quotes the offending line, which may hold a secret; only its number is kept.
fn line_of(error: &dotenvy::Error, text: &str) -> Option<usize> {
    let dotenvy::Error::LineParse(quoted, _) = error else {
        return None;
    };
    let first = quoted.lines().next()?.trim_end();
    text.lines()
        .position(|line| line.trim_end() == first)
        .map(|index| index + 1)
}
