use std::{collections::HashSet, fmt, str::FromStr};

use thiserror::Error;
use toml::{Table, Value};

use super::{DtcPattern, Rule, RuleBook};
use crate::{maintenance::anomalies::Severity, text_enum::UnknownText};

/// Why a text is not a [`RuleBook`].
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InvalidRules {
    /// The text is not TOML.
    #[error("{}not valid TOML: {reason}", line.map(|line| format!("line {line}: ")).unwrap_or_default())]
    Syntax {
        /// The line, counted from 1, if known.
        line: Option<usize>,
        /// The message of the parser.
        reason: String,
    },
    /// The file has a top-level field other than `rule`.
    #[error("{0} is not known here; accepted is [[rule]]")]
    UnknownField(String),
    /// The file has no list of rules, or too many rules.
    #[error(
        "expected up to {} rules, each beginning with [[rule]], or rule = [] for none",
        RuleBook::MAX_RULES
    )]
    NoRules,
    /// At least one rule is invalid.
    #[error("{}", joined(.0))]
    Rules(Vec<InvalidRule>),
}

/// An invalid field of a rule.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{rule}, {field}: {detail}")]
pub struct InvalidRule {
    /// The rule, by its name or, without a valid name, its number.
    pub rule: String,
    /// The field.
    pub field: String,
    /// The accepted values.
    pub detail: String,
}

fn joined(errors: &[InvalidRule]) -> String {
    let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
    texts.join("; ")
}

impl FromStr for RuleBook {
    type Err = InvalidRules;

    /// Parses rules from TOML. Each is a `[[rule]]` table with a `name`, `patterns`, an
    /// `anomaly_type`, a `severity` and a `component`.
    fn from_str(text: &str) -> Result<Self, InvalidRules> {
        let mut document: Table = text.parse().map_err(|error| syntax(text, &error))?;
        let rules = document.remove("rule");
        if let Some((field, _)) = document.into_iter().next() {
            return Err(InvalidRules::UnknownField(field));
        }
        let Some(Value::Array(rules)) = rules else {
            return Err(InvalidRules::NoRules);
        };
        if rules.len() > Self::MAX_RULES {
            return Err(InvalidRules::NoRules);
        }
        let mut errors = Vec::new();
        let mut names = HashSet::new();
        let rules: Vec<Rule> = (1..)
            .zip(rules)
            .filter_map(|(number, rule)| read(number, rule, &mut names, &mut errors))
            .collect();
        if errors.is_empty() {
            Ok(Self(rules))
        } else {
            Err(InvalidRules::Rules(errors))
        }
    }
}

fn syntax(text: &str, error: &toml::de::Error) -> InvalidRules {
    let before = error.span().and_then(|span| text.get(..span.start));
    InvalidRules::Syntax {
        line: before.map(|before| before.matches('\n').count() + 1),
        reason: error.message().to_owned(),
    }
}

/// Parses one rule; returns `None` after adding to `errors`.
fn read(
    number: usize,
    rule: Value,
    names: &mut HashSet<String>,
    errors: &mut Vec<InvalidRule>,
) -> Option<Rule> {
    let Value::Table(mut table) = rule else {
        errors.push(InvalidRule {
            rule: format!("rule {number}"),
            field: "name".to_owned(),
            detail: "expected [[rule]] and its fields".to_owned(),
        });
        return None;
    };
    let name = text(table.remove("name"), RuleBook::MAX_NAME);
    let mut fields = Fields {
        rule: match &name {
            Ok(name) => format!("rule {name:?}"),
            Err(_) => format!("rule {number}"),
        },
        errors,
    };
    let name = fields.keep("name", name);
    if let Some(name) = &name
        && !names.insert(name.clone())
    {
        fields.refuse("name", "expected a name that no rule before has");
    }
    let patterns = fields.keep("patterns", patterns(table.remove("patterns")));
    let anomaly_type = text(table.remove("anomaly_type"), RuleBook::MAX_ANOMALY_TYPE);
    let anomaly_type = fields.keep("anomaly_type", anomaly_type);
    let severity = fields.keep("severity", severity(table.remove("severity").as_ref()));
    let component = text(table.remove("component"), RuleBook::MAX_COMPONENT);
    let component = fields.keep("component", component);
    for field in table.keys() {
        fields.refuse(
            field,
            "is not known here; accepted are name, patterns, anomaly_type, severity, component",
        );
    }
    Some(Rule {
        name: name?,
        patterns: patterns?,
        anomaly_type: anomaly_type?,
        severity: severity?,
        component: component?,
    })
}

/// Collects the errors of one rule.
struct Fields<'a> {
    rule: String,
    errors: &'a mut Vec<InvalidRule>,
}

impl Fields<'_> {
    fn keep<T>(&mut self, field: &str, value: Result<T, String>) -> Option<T> {
        value.map_err(|detail| self.refuse(field, detail)).ok()
    }

    fn refuse(&mut self, field: &str, detail: impl fmt::Display) {
        self.errors.push(InvalidRule {
            rule: self.rule.clone(),
            field: field.to_owned(),
            detail: detail.to_string(),
        });
    }
}

fn text(value: Option<Value>, limit: usize) -> Result<String, String> {
    match value {
        Some(Value::String(text)) if is_line(&text, limit) => Ok(text),
        _ => Err(format!(
            "expected a text of 1 to {limit} characters in one line"
        )),
    }
}

/// Returns whether the text is one visible line. PostgreSQL does not store U+0000.
fn is_line(text: &str, limit: usize) -> bool {
    !text.trim().is_empty() && text.chars().count() <= limit && !text.contains(char::is_control)
}

fn severity(value: Option<&Value>) -> Result<Severity, String> {
    let word = value.and_then(Value::as_str).unwrap_or_default();
    word.parse()
        .map_err(|error: UnknownText| format!("expected one of {}", error.accepted))
}

fn patterns(value: Option<Value>) -> Result<Vec<DtcPattern>, String> {
    let max = RuleBook::MAX_PATTERNS;
    let items = match value {
        Some(Value::Array(items)) if (1..=max).contains(&items.len()) => items,
        _ => return Err(format!("expected a list of 1 to {max} patterns")),
    };
    let parsed = items.iter().zip(1..).map(|(item, number)| {
        let text = item.as_str().unwrap_or_default();
        text.parse()
            .map_err(|error| format!("pattern {number} is {error}"))
    });
    parsed.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns a valid rule with `change` applied to its lines.
    fn rule(change: impl FnOnce(&mut Vec<String>)) -> String {
        let mut lines: Vec<String> = [
            r#"name = "catalyst""#,
            r#"patterns = ["P0420"]"#,
            r#"anomaly_type = "emissions""#,
            r#"severity = "Medium""#,
            r#"component = "catalytic converter""#,
        ]
        .map(str::to_owned)
        .into();
        change(&mut lines);
        format!("[[rule]]\n{}\n", lines.join("\n"))
    }

    /// Returns the rule with another value of one field.
    fn with(field: &str, value: &str) -> String {
        rule(|lines| {
            lines.retain(|line| !line.starts_with(field));
            lines.push(format!("{field} = {value}"));
        })
    }

    #[track_caller]
    fn error(text: &str) -> String {
        text.parse::<RuleBook>().unwrap_err().to_string()
    }

    #[test]
    fn requires_all_five_fields() {
        let book: RuleBook = rule(|_| {}).parse().unwrap();
        let expected = Rule {
            name: "catalyst".to_owned(),
            patterns: vec!["P0420".parse().unwrap()],
            anomaly_type: "emissions".to_owned(),
            severity: Severity::Medium,
            component: "catalytic converter".to_owned(),
        };
        assert_eq!(book.iter().collect::<Vec<_>>(), [&expected]);
        for (index, field) in ["name", "patterns", "anomaly_type", "severity", "component"]
            .into_iter()
            .enumerate()
        {
            let text = rule(|lines| drop(lines.remove(index)));
            let named = if field == "name" {
                "rule 1"
            } else {
                "rule \"catalyst\""
            };
            let error = error(&text);
            assert!(
                error.starts_with(&format!("{named}, {field}: expected")),
                "{error}"
            );
        }
    }

    #[test]
    fn bounds_the_length_of_texts() {
        for (field, limit) in [("name", 100), ("anomaly_type", 100), ("component", 200)] {
            for good in ["x".to_owned(), "é".repeat(limit)] {
                let text = with(field, &format!("{good:?}"));
                assert!(text.parse::<RuleBook>().is_ok(), "{field} = {good}");
            }
            let long = format!("{:?}", "é".repeat(limit + 1));
            for bad in [
                r#""""#,
                r#"" ""#,
                r#""a\u0000""#,
                r#""a\nb""#,
                "5",
                "true",
                "[]",
                &long,
            ] {
                let error = error(&with(field, bad));
                let expected =
                    format!("{field}: expected a text of 1 to {limit} characters in one line");
                assert!(error.ends_with(&expected), "{field} = {bad}: {error}");
            }
        }
    }

    #[test]
    fn bounds_the_number_of_patterns() {
        let list = |count: usize| format!("{:?}", vec!["P0A.."; count]);
        for good in [list(1), list(100)] {
            assert!(
                with("patterns", &good).parse::<RuleBook>().is_ok(),
                "{good}"
            );
        }
        for bad in ["[]", r#""P0420""#, "5", &list(101)] {
            let error = error(&with("patterns", bad));
            let expected = "rule \"catalyst\", patterns: expected a list of 1 to 100 patterns";
            assert_eq!(error, expected, "{bad}");
        }
        for bad in [
            r#"["P0420", "P042"]"#,
            r#"["P0420", 420]"#,
            r#"["P0420", ".0420"]"#,
        ] {
            let error = error(&with("patterns", bad));
            let expected = "rule \"catalyst\", patterns: pattern 2 is not a trouble code";
            assert!(error.starts_with(expected), "{error}");
        }
    }

    #[test]
    fn accepts_the_severities_of_anomalies() {
        for word in ["Low", "Medium", "High", "Critical"] {
            let text = with("severity", &format!("{word:?}"));
            assert!(text.parse::<RuleBook>().is_ok(), "{word}");
        }
        for bad in [r#""low""#, r#""""#, "1"] {
            let expected =
                "rule \"catalyst\", severity: expected one of Low, Medium, High, Critical";
            assert_eq!(error(&with("severity", bad)), expected, "{bad}");
        }
    }

    #[test]
    fn rejects_a_duplicate_name() {
        let text = rule(|_| {}) + &rule(|_| {});
        let expected = "rule \"catalyst\", name: expected a name that no rule before has";
        assert_eq!(error(&text), expected);
    }

    #[test]
    fn reports_every_invalid_field_at_once() {
        let text = with("severity", "1") + &with("name", "2");
        let InvalidRules::Rules(errors) = text.parse::<RuleBook>().unwrap_err() else {
            panic!("{text}");
        };
        let places: Vec<(&str, &str)> = errors
            .iter()
            .map(|error| (error.rule.as_str(), error.field.as_str()))
            .collect();
        assert_eq!(
            places,
            [("rule \"catalyst\"", "severity"), ("rule 2", "name")]
        );
    }

    #[test]
    fn rejects_unknown_fields() {
        let error_in_rule = error(&with("sevrity", "1"));
        let expected = "rule \"catalyst\", sevrity: is not known here";
        assert!(error_in_rule.starts_with(expected), "{error_in_rule}");
        let beside = error(&format!("version = 1\n{}", rule(|_| {})));
        assert_eq!(beside, "version is not known here; accepted is [[rule]]");
    }

    #[test]
    fn rejects_a_missing_list_but_accepts_an_empty_one() {
        assert_eq!("rule = []".parse::<RuleBook>().unwrap().iter().count(), 0);
        for bad in ["", "# nothing", "rule = 5", "[rule]"] {
            assert_eq!(bad.parse::<RuleBook>(), Err(InvalidRules::NoRules), "{bad}");
        }
        let error = error("rule = [5]");
        assert_eq!(error, "rule 1, name: expected [[rule]] and its fields");
    }

    #[test]
    fn accepts_at_most_1000_rules() {
        let rules = |count: usize| -> String {
            (0..count)
                .map(|number| with("name", &format!("\"{number}\"")))
                .collect()
        };
        assert_eq!(
            rules(1000).parse::<RuleBook>().unwrap().iter().count(),
            1000
        );
        assert_eq!(rules(1001).parse::<RuleBook>(), Err(InvalidRules::NoRules));
    }

    #[test]
    fn names_the_line_of_a_syntax_error() {
        let error = error("rule = []\nname = = 5");
        assert!(error.starts_with("line 2: not valid TOML: "), "{error}");
    }
}
