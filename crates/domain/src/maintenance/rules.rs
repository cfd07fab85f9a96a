//! The rules by which trouble codes become anomalies.

mod file;
mod pattern;

use crate::maintenance::anomalies::Severity;

pub use file::{InvalidRule, InvalidRules};
pub use pattern::{Dtc, DtcPattern, InvalidDtc, InvalidPattern};

/// What codes a rule looks for, and what it makes of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// What it is known by; no other rule has it.
    pub name: String,
    /// The codes that it looks for; at least one.
    pub patterns: Vec<DtcPattern>,
    /// What kind of anomaly it finds.
    pub anomaly_type: String,
    /// How bad that is.
    pub severity: Severity,
    /// The part of the vehicle that it suspects.
    pub component: String,
}

impl Rule {
    /// Whether the rule looks for the code.
    pub fn matches(&self, dtc: &Dtc) -> bool {
        self.patterns.iter().any(|pattern| pattern.matches(dtc))
    }
}

/// The rules of one file, in its order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleBook(Vec<Rule>);

impl RuleBook {
    /// The most rules that a file has.
    pub const MAX_RULES: usize = 1000;
    /// The most patterns that a rule has.
    pub const MAX_PATTERNS: usize = 100;
    /// The most characters that the name of a rule has.
    pub const MAX_NAME: usize = 100;
    /// The most characters that a kind of anomaly has.
    pub const MAX_ANOMALY_TYPE: usize = 100;
    /// The most characters that a component has.
    pub const MAX_COMPONENT: usize = 200;

    /// The rule that a code belongs to: the first in the file that looks for it.
    pub fn first_match(&self, dtc: &Dtc) -> Option<&Rule> {
        self.0.iter().find(|rule| rule.matches(dtc))
    }

    /// Every rule, in the order of the file.
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
    fn the_first_rule_that_matches_wins() {
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
    fn rules_stay_in_the_order_of_the_file() {
        let book = book();
        let names: Vec<&str> = book.iter().map(|rule| rule.name.as_str()).collect();
        assert_eq!(names, ["first", "second"]);
    }
}
