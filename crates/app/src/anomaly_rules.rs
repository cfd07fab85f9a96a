//! Loads the anomaly rules.

use std::{fs, path::Path};

use sovd_domain::RuleBook;

use crate::error::StartError;

/// The default rules, compiled in.
const BUILT_IN: &str = include_str!("../../../config/anomaly_rules.toml");

/// Reads the rules from `file`, or returns the built-in ones.
pub(crate) fn read(file: Option<&Path>) -> Result<RuleBook, StartError> {
    let (file, text) = match file {
        None => (
            "built-in anomaly_rules.toml".to_owned(),
            Ok(BUILT_IN.to_owned()),
        ),
        Some(path) => (path.display().to_string(), fs::read_to_string(path)),
    };
    let text = text.map_err(|source| StartError::File {
        key: "maintenance.anomaly_rules",
        file: file.clone(),
        source,
    })?;
    text.parse()
        .map_err(|source| StartError::AnomalyRules { file, source })
}

#[cfg(test)]
mod tests {
    use sovd_domain::{Dtc, Severity};

    use super::*;

    #[test]
    fn built_in_rules_match_common_codes() {
        let rules = read(None).unwrap();
        for (code, name, severity) in [
            ("P0420", "catalyst-efficiency", Severity::Medium),
            ("P0420-11", "catalyst-efficiency", Severity::Medium),
            ("P0301", "misfire", Severity::High),
            ("P0A7F", "hybrid-battery", Severity::High),
            ("P0AA6", "battery-isolation", Severity::Critical),
            ("U0100", "lost-communication", Severity::High),
            ("C0035", "brakes", Severity::High),
            ("C1000", "chassis", Severity::Medium),
        ] {
            let dtc: Dtc = code.parse().unwrap();
            let rule = rules.first_match(&dtc).unwrap();
            assert_eq!(
                (rule.name.as_str(), rule.severity),
                (name, severity),
                "{code}"
            );
        }
        assert_eq!(rules.first_match(&"B1234-1A".parse().unwrap()), None);
    }

    #[test]
    fn no_built_in_rule_is_shadowed() {
        let rules = read(None).unwrap();
        for rule in rules.iter() {
            let codes = rule.patterns.iter().flat_map(|pattern| {
                ["1", "2", "3"].map(|digit| pattern.as_str().replace('.', digit))
            });
            let is_reachable = codes
                .map(|code| rules.first_match(&code.parse().unwrap()))
                .any(|found| found == Some(rule));
            assert!(is_reachable, "{} is shadowed", rule.name);
        }
    }

    #[test]
    fn names_a_missing_file() {
        let error = read(Some(Path::new("/nowhere/rules.toml"))).unwrap_err();
        let text = error.to_string();
        let expected = "maintenance.anomaly_rules: /nowhere/rules.toml cannot be read: ";
        assert!(text.starts_with(expected), "{text}");
    }

    #[test]
    fn names_an_invalid_file_and_its_error() {
        let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
        let text = read(Some(Path::new(manifest))).unwrap_err().to_string();
        let expected = format!("maintenance.anomaly_rules: {manifest}: ");
        assert!(text.starts_with(&expected), "{text}");
        assert!(text.ends_with("unknown field; expected [[rule]]"), "{text}");
    }
}
