//! The rules by which trouble codes become anomalies.

use std::{fs, path::Path};

use sovd_domain::RuleBook;

use crate::error::StartError;

/// The rules of a checkout, for where no other file is named.
const BUILT_IN: &str = include_str!("../../../config/anomaly_rules.toml");

/// The rules of the file, or those that the program brings along.
pub(crate) fn read(file: Option<&Path>) -> Result<RuleBook, StartError> {
    let (name, text) = match file {
        None => (
            "built-in anomaly_rules.toml".to_owned(),
            BUILT_IN.to_owned(),
        ),
        Some(path) => {
            let name = path.display().to_string();
            match fs::read_to_string(path) {
                Ok(text) => (name, text),
                Err(source) => return Err(StartError::AnomalyRulesAway { file: name, source }),
            }
        }
    };
    text.parse()
        .map_err(|source| StartError::AnomalyRules { file: name, source })
}

#[cfg(test)]
mod tests {
    use sovd_domain::{Dtc, Severity};

    use super::*;

    #[test]
    fn the_rules_of_the_program_know_the_usual_faults() {
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
    fn every_rule_of_the_program_finds_something() {
        let rules = read(None).unwrap();
        for rule in rules.iter() {
            let codes = rule.patterns.iter().flat_map(|pattern| {
                ["1", "2", "3"].map(|digit| pattern.as_str().replace('.', digit))
            });
            let is_reached = codes
                .map(|code| rules.first_match(&code.parse().unwrap()))
                .any(|found| found == Some(rule));
            assert!(is_reached, "{} comes too late", rule.name);
        }
    }

    #[test]
    fn a_file_that_is_away_is_named() {
        let error = read(Some(Path::new("/nowhere/rules.toml"))).unwrap_err();
        let text = error.to_string();
        let expected = "maintenance.anomaly_rules: /nowhere/rules.toml cannot be read: ";
        assert!(text.starts_with(expected), "{text}");
    }

    #[test]
    fn what_is_wrong_with_a_file_is_named() {
        let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
        let text = read(Some(Path::new(manifest))).unwrap_err().to_string();
        let expected = format!("maintenance.anomaly_rules: {manifest}: ");
        assert!(text.starts_with(&expected), "{text}");
        assert!(
            text.ends_with("is not known here; accepted is [[rule]]"),
            "{text}"
        );
    }
}
