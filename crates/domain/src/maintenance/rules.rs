//! Rules that map diagnostic trouble codes to anomalies.

mod file;
mod pattern;

use crate::maintenance::anomalies::Severity;

pub use file::{InvalidRule, InvalidRules};
pub use pattern::{Dtc, DtcPattern, InvalidDtc, InvalidPattern};

/// A set of trouble codes and the anomaly that they indicate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// The name, unique in a rule book.
    pub name: String,
    /// The codes that it matches; at least one.
    pub patterns: Vec<DtcPattern>,
    /// The kind of anomaly.
    pub anomaly_type: String,
    /// The severity of the anomaly.
    pub severity: Severity,
    /// The suspected component.
    pub component: String,
}

impl Rule {
    /// Returns whether a pattern matches the code.
    pub fn matches(&self, dtc: &Dtc) -> bool {
        self.patterns.iter().any(|pattern| pattern.matches(dtc))
    }
}

/// The rules of a file, in file order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleBook(Vec<Rule>);

impl RuleBook {
    /// Returns the first rule in file order that matches the code.
    pub fn first_match(&self, dtc: &Dtc) -> Option<&Rule> {
        self.0.iter().find(|rule| rule.matches(dtc))
    }

    /// Returns an iterator over the rules, in file order.
    pub fn iter(&self) -> impl Iterator<Item = &Rule> {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn book() -> RuleBook {
        let text = r#"
            [[rule]]
            name = "first"
            patterns = ["P042.", "U0100"]
            anomaly_type = "emissions"
            severity = "Medium"
            component = "catalyst"

            [[rule]]
            name = "second"
            patterns = ["P04.."]
            anomaly_type = "emissions"
            severity = "Low"
            component = "exhaust"
        "#;
        text.parse().unwrap()
    }

    #[test]
    fn the_first_matching_rule_wins() {
        let book = book();
        for (code, name) in [
            ("P0420", Some("first")),
            ("U0100", Some("first")),
            ("P0430", Some("second")),
            ("P0420-11", Some("first")),
            ("P0500", None),
        ] {
            let rule = book.first_match(&code.parse().unwrap());
            assert_eq!(rule.map(|rule| rule.name.as_str()), name, "{code}");
        }
    }

    #[test]
    fn keeps_rules_in_file_order() {
        let book = book();
        let names: Vec<&str> = book.iter().map(|rule| rule.name.as_str()).collect();
        assert_eq!(names, ["first", "second"]);
    }
}
