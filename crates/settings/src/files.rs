use std::error::Error;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use config::{FileFormat, Format, Map, Value, ValueKind};

use crate::Environment;
use crate::effective::Entry;
use crate::error::Problem;
use crate::key::Key;
use crate::origin::Origin;

const DEFAULT: &str = include_str!("../../../config/default.toml");
const DEVELOPMENT: &str = include_str!("../../../config/development.toml");
const PRODUCTION: &str = include_str!("../../../config/production.toml");

/// The built-in defaults, and over them what the directory has: rules for anomalies, `default.toml`.
pub(crate) fn defaults(dir: Option<&Path>, problems: &mut Vec<Problem>) -> Vec<Entry> {
    let mut entries = parse(DEFAULT, &Origin::Default, problems);
    entries.extend(anomaly_rules(dir));
    entries.extend(on_disk(dir, "default.toml", problems).unwrap_or_default());
    entries
}

/// The file of rules in the directory, if there is one. Whoever needs the rules reads it.
fn anomaly_rules(dir: Option<&Path>) -> Option<Entry> {
    let path = dir?.join("anomaly_rules.toml");
    let key = Key::find("maintenance.anomaly_rules").filter(|_| path.exists())?;
    Some(Entry {
        key,
        value: path.to_str()?.into(),
        origin: Origin::File(path),
    })
}

/// The environment's file of the directory, or else its built-in copy.
pub(crate) fn of_environment(
    environment: Environment,
    dir: Option<&Path>,
    problems: &mut Vec<Problem>,
) -> Vec<Entry> {
    let name = format!("{environment}.toml");
    on_disk(dir, &name, problems).unwrap_or_else(|| {
        let built_in = match environment {
            Environment::Development => DEVELOPMENT,
            Environment::Production => PRODUCTION,
            Environment::Test => "",
        };
        parse(built_in, &Origin::BuiltInFile(name), problems)
    })
}

/// `None` if there is no such file; a file that cannot be used is a problem and empty.
fn on_disk(dir: Option<&Path>, name: &str, problems: &mut Vec<Problem>) -> Option<Vec<Entry>> {
    let path = dir?.join(name);
    match fs::read_to_string(&path) {
        Ok(text) => Some(parse(&text, &Origin::File(path), problems)),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => {
            problems.push(Problem::UnreadableFile {
                path,
                reason: error.to_string(),
            });
            Some(Vec::new())
        }
    }
}

fn parse(text: &str, origin: &Origin, problems: &mut Vec<Problem>) -> Vec<Entry> {
    let mut entries = Vec::new();
    match FileFormat::Toml.parse(None, text) {
        Ok(table) => flatten("", table, origin, &mut entries, problems),
        Err(error) => problems.push(syntax(error.as_ref(), origin)),
    }
    entries
}

/// The parser's text is a position, then a quotation of the line, then the reason. The
/// quotation may hold a secret and is left out.
fn syntax(error: &dyn Error, origin: &Origin) -> Problem {
    let text = error.to_string();
    let line = text
        .strip_prefix("TOML parse error at line ")
        .and_then(|rest| rest.split(',').next())
        .and_then(|line| line.parse().ok());
    let reason = match line {
        Some(_) => text.lines().last().unwrap_or_default(),
        None => "a number does not fit into 64 bits",
    };
    Problem::Syntax {
        file: origin.to_string(),
        line,
        reason: format!("not valid TOML: {reason}"),
    }
}

fn flatten(
    section: &str,
    table: Map<String, Value>,
    origin: &Origin,
    entries: &mut Vec<Entry>,
    problems: &mut Vec<Problem>,
) {
    for (name, value) in table {
        let path = if section.is_empty() {
            name
        } else {
            format!("{section}.{name}")
        };
        let from = || origin.to_string();
        match (Key::find(&path), value.kind) {
            (Some(key), _) if key.path == Environment::KEY => {
                problems.push(Problem::EnvironmentInFile { origin: from() });
            }
            (Some(key), value) => entries.push(Entry {
                key,
                value,
                origin: origin.clone(),
            }),
            (None, ValueKind::Table(table)) if Key::is_section(&path) => {
                flatten(&path, table, origin, entries, problems);
            }
            (None, _) if Key::is_section(&path) => {
                problems.push(Problem::NotASection {
                    key: path,
                    origin: from(),
                });
            }
            (None, _) => problems.push(Problem::UnknownKey {
                key: path,
                origin: from(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn keys_of(text: &str) -> BTreeSet<&'static str> {
        let mut problems = Vec::new();
        let entries = parse(text, &Origin::Default, &mut problems);
        assert!(problems.is_empty(), "{problems:?}");
        entries.iter().map(|entry| entry.key.path).collect()
    }

    #[test]
    fn the_default_file_holds_every_key_that_has_a_default() {
        let without_default = [
            "environment",
            "database.url",
            "redis.url",
            "redis.ca_path",
            "redis.cert_path",
            "redis.key_path",
            "auth.jwt_secret",
            "auth.jwt_private_key",
            "auth.jwt_previous_secret",
            "auth.jwt_previous_public_key",
            "connector.mock.journal",
            "audit.checkpoint_private_key",
            "audit.checkpoint_public_key",
            "maintenance.anomaly_rules",
        ];
        let expected: BTreeSet<_> = Key::all()
            .map(|key| key.path)
            .filter(|path| !without_default.contains(path))
            .collect();

        assert_eq!(keys_of(DEFAULT), expected);
    }

    #[test]
    fn the_default_file_shows_the_keys_without_default_as_comments() {
        let uncommented: Vec<&str> = DEFAULT
            .lines()
            .map(|line| {
                line.strip_prefix("# ")
                    .filter(|l| l.contains(" = "))
                    .unwrap_or(line)
            })
            .collect();

        assert_eq!(
            keys_of(&uncommented.join("\n")).len(),
            Key::all().count() - 1
        );
    }

    #[test]
    fn every_key_in_a_file_has_a_comment_above() {
        for text in [DEFAULT, DEVELOPMENT, PRODUCTION] {
            keys_of(text);
            let lines: Vec<&str> = text.lines().collect();
            for pair in lines.windows(2) {
                assert!(
                    !pair[1].contains(" = ") || pair[0].starts_with("# "),
                    "{}",
                    pair[1]
                );
            }
        }
    }
}
