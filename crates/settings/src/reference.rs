//! Generates `docs/configuration.md` from the keys, and from the comments and values of
//! `config/default.toml`.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::{env, fs};

use crate::files::{DEFAULT, DEVELOPMENT, PRODUCTION};
use crate::loader::Loader;
use crate::sections::KEYS;

const INTRODUCTION: &str = include_str!("reference.md");
const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/configuration.md");

/// Reads the comment above each key, and its value in TOML. A key that is commented out has none.
fn describe(file: &str) -> BTreeMap<String, (String, Option<&str>)> {
    let mut described = BTreeMap::new();
    let (mut section, mut comment) = (String::new(), Vec::new());
    for line in file.lines() {
        let text = line.strip_prefix("# ").unwrap_or(line);
        let assignment = text
            .split_once(" = ")
            .filter(|(name, _)| name.chars().all(|c| c.is_ascii_lowercase() || c == '_'));
        if let Some((name, value)) = assignment {
            let entry = (comment.join(" "), (line == text).then_some(value));
            let path = format!("{section}{name}");
            assert!(described.insert(path, entry).is_none(), "{line}");
            comment.clear();
        } else if line.starts_with('#') {
            comment.push(text);
        } else {
            comment.clear();
            if let Some(name) = line.strip_prefix('[') {
                section = name.replace(']', ".");
            }
        }
    }
    described
}

fn page() -> String {
    let described = describe(DEFAULT);
    let [development, production] = [DEVELOPMENT, PRODUCTION].map(describe);
    let mut page = INTRODUCTION.to_owned();
    let mut section = "";
    for key in KEYS {
        let (parent, _) = key.path.rsplit_once('.').unwrap_or_default();
        if parent != section {
            section = parent;
            write!(page, "\n## `{section}`\n").unwrap();
        }
        let (description, default) = &described[key.path];
        let variables: Vec<String> = key.variables().map(|name| format!("`{name}`")).collect();
        let mut default = match default {
            Some(value) => format!("`{value}`"),
            None if parent.is_empty() => "`\"development\"`".to_owned(),
            None => "none".to_owned(),
        };
        for (environment, file) in [("development", &development), ("production", &production)] {
            if let Some(value) = file.get(key.path).and_then(|(_, value)| *value) {
                write!(default, "; {environment}: `{value}`").unwrap();
            }
        }
        let level = if parent.is_empty() { "##" } else { "###" };
        write!(
            page,
            "\n{level} `{}`\n\n{description}\n\n- Accepts: {}\n- Default: {default}\n- Variables: {}\n",
            key.path,
            key.kind.expected(),
            variables.join(", "),
        )
        .unwrap();
    }
    page
}

/// Run with `UPDATE_REFERENCE=1` to write the page.
#[test]
fn the_configuration_reference_is_up_to_date() {
    let page = page();
    if env::var_os("UPDATE_REFERENCE").is_some() {
        fs::write(PAGE, &page).unwrap();
    }
    let written = fs::read_to_string(PAGE).unwrap_or_default();
    assert!(
        written == page,
        "docs/configuration.md is out of date; run \
         UPDATE_REFERENCE=1 cargo test -p sovd-settings reference"
    );
}

#[test]
fn the_default_file_describes_exactly_the_keys() {
    let mut keys: Vec<&str> = KEYS.iter().map(|key| key.path).collect();
    keys.sort_unstable();
    assert!(describe(DEFAULT).keys().eq(keys));
}

/// Except for `environment`, which cannot be set in a file.
#[test]
fn the_default_file_is_valid_with_every_key_uncommented() {
    let lines = DEFAULT.lines().map(|line| {
        let is_key = !describe(line).is_empty();
        line.strip_prefix("# ").filter(|_| is_key).unwrap_or(line)
    });
    let lines: Vec<&str> = lines
        .filter(|line| !line.starts_with("environment"))
        .collect();
    let mut loader = Loader::default();
    loader.parse(&lines.join("\n"), "file");
    assert!(loader.problems.is_empty(), "{:?}", loader.problems);
    assert_eq!(loader.values.len(), KEYS.len() - 1);
}

#[test]
fn every_key_in_a_file_has_a_comment() {
    for file in [DEFAULT, DEVELOPMENT, PRODUCTION] {
        let mut loader = Loader::default();
        loader.parse(file, "file");
        assert!(loader.problems.is_empty(), "{:?}", loader.problems);
        for (key, (description, _)) in describe(file) {
            assert!(!description.is_empty(), "{key}");
        }
    }
}
