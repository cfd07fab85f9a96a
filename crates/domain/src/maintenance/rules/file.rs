use std::{collections::HashSet, fmt, str::FromStr};

use thiserror::Error;
use toml::{Table, Value};

use super::{DtcPattern, Rule, RuleBook};
use crate::{maintenance::anomalies::Severity, text_enum::UnknownText};

const MAX_RULES: usize = 1000;
const MAX_PATTERNS: usize = 100;
/// The maximum lengths of texts, in characters.
const MAX_NAME: usize = 100;
const MAX_ANOMALY_TYPE: usize = 100;
const MAX_COMPONENT: usize = 200;

/// The error of parsing a [`RuleBook`].
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
    #[error("{0}: unknown field; expected [[rule]]")]
    UnknownField(String),
    /// The file has no list of rules, or too many rules.
    #[error(
        "expected up to {MAX_RULES} rules, each beginning with [[rule]], or rule = [] for none"
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
        if rules.len() > MAX_RULES {
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
    let name = text(table.remove("name"), MAX_NAME);
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
        fields.refuse("name", "expected a unique name");
    }
    let patterns = fields.keep("patterns", patterns(table.remove("patterns")));
    let anomaly_type = text(table.remove("anomaly_type"), MAX_ANOMALY_TYPE);
    let anomaly_type = fields.keep("anomaly_type", anomaly_type);
    let severity = fields.keep("severity", severity(table.remove("severity").as_ref()));
    let component = fields.keep("component", text(table.remove("component"), MAX_COMPONENT));
    for field in table.keys() {
        fields.refuse(
            field,
            "unknown field; expected name, patterns, anomaly_type, severity or component",
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
    let items = match value {
        Some(Value::Array(items)) if (1..=MAX_PATTERNS).contains(&items.len()) => items,
        _ => return Err(format!("expected a list of 1 to {MAX_PATTERNS} patterns")),
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

    const FIELDS: [(&str, &str); 5] = [
        ("name", r#""catalyst""#),
        ("patterns", r#"["P0420"]"#),
        ("anomaly_type", r#""emissions""#),
        ("severity", r#""Medium""#),
        ("component", r#""catalytic converter""#),
    ];

    /// Returns a valid rule without one field.
    fn without(field: &str) -> String {
        let others = FIELDS.iter().filter(|(name, _)| *name != field);
        let lines = others.map(|(name, value)| format!("{name} = {value}\n"));
        format!("[[rule]]\n{}", lines.collect::<String>())
    }

    /// Returns a valid rule with another value of one field.
    fn with(field: &str, value: &str) -> String {
        format!("{}{field} = {value}\n", without(field))
    }

    /// Returns the number of rules, or the error.
    fn parse(text: &str) -> Result<usize, String> {
        let book = text.parse::<RuleBook>().map_err(|error| error.to_string());
        book.map(|book| book.iter().count())
    }

    #[track_caller]
    fn assert_rejected(text: &str, expected: &str) {
        let error = parse(text).unwrap_err();
        assert!(error.starts_with(expected), "{text}: {error}");
    }

    #[test]
    fn requires_all_five_fields() {
        let book: RuleBook = without("").parse().unwrap();
        let expected = Rule {
            name: "catalyst".to_owned(),
            patterns: vec!["P0420".parse().unwrap()],
            anomaly_type: "emissions".to_owned(),
            severity: Severity::Medium,
            component: "catalytic converter".to_owned(),
        };
        assert_eq!(book.iter().collect::<Vec<_>>(), [&expected]);
        assert_rejected(&without("name"), "rule 1, name: expected");
        for (field, _) in &FIELDS[1..] {
            let expected = format!("rule \"catalyst\", {field}: expected");
            assert_rejected(&without(field), &expected);
        }
    }

    #[test]
    fn bounds_the_length_of_texts() {
        for (field, limit) in [("name", 100), ("anomaly_type", 100), ("component", 200)] {
            for good in ["x".to_owned(), "é".repeat(limit)] {
                assert_eq!(parse(&with(field, &format!("{good:?}"))), Ok(1));
            }
            let long = format!("{:?}", "é".repeat(limit + 1));
            let texts = [r#""""#, r#"" ""#, r#""a\u0000""#, r#""a\nb""#, &long];
            for bad in texts.into_iter().chain(["5", "true", "[]"]) {
                let error = parse(&with(field, bad)).unwrap_err();
                let expected =
                    format!("{field}: expected a text of 1 to {limit} characters in one line");
                assert!(error.ends_with(&expected), "{field} = {bad}: {error}");
            }
        }
    }

    #[test]
    fn bounds_the_number_of_patterns() {
        let list = |count: usize| format!("{:?}", vec!["P0A.."; count]);
        for count in [1, 100] {
            assert_eq!(parse(&with("patterns", &list(count))), Ok(1));
        }
        for bad in ["[]", r#""P0420""#, "5", &list(101)] {
            let expected = "rule \"catalyst\", patterns: expected a list of 1 to 100 patterns";
            assert_eq!(parse(&with("patterns", bad)), Err(expected.to_owned()));
        }
        for bad in [r#""P042""#, "420", r#"".0420""#] {
            let text = with("patterns", &format!(r#"["P0420", {bad}]"#));
            let expected = "rule \"catalyst\", patterns: pattern 2 is not a trouble code";
            assert_rejected(&text, expected);
        }
    }

    #[test]
    fn accepts_the_severities_of_anomalies() {
        for good in ["Low", "Medium", "High", "Critical"] {
            assert_eq!(parse(&with("severity", &format!("{good:?}"))), Ok(1));
        }
        for bad in [r#""low""#, r#""""#, "1"] {
            let expected =
                "rule \"catalyst\", severity: expected one of Low, Medium, High, Critical";
            assert_eq!(parse(&with("severity", bad)), Err(expected.to_owned()));
        }
    }

    #[test]
    fn rejects_a_duplicate_name() {
        let expected = "rule \"catalyst\", name: expected a unique name";
        assert_eq!(parse(&without("").repeat(2)), Err(expected.to_owned()));
    }

    #[test]
    fn reports_every_invalid_field_at_once() {
        let text = with("severity", "1") + &with("name", "2");
        let InvalidRules::Rules(errors) = text.parse::<RuleBook>().unwrap_err() else {
            panic!("{text}");
        };
        let places = errors.iter().map(|error| (&*error.rule, &*error.field));
        let expected = [("rule \"catalyst\"", "severity"), ("rule 2", "name")];
        assert_eq!(places.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn rejects_unknown_fields() {
        let expected = "rule \"catalyst\", sevrity: unknown field";
        assert_rejected(&with("sevrity", "1"), expected);
        let expected = "version: unknown field; expected [[rule]]";
        let text = format!("version = 1\n{}", without(""));
        assert_eq!(parse(&text), Err(expected.to_owned()));
    }

    #[test]
    fn rejects_a_missing_list_but_accepts_an_empty_one() {
        assert_eq!(parse("rule = []"), Ok(0));
        for bad in ["", "# nothing", "rule = 5", "[rule]"] {
            assert_eq!(bad.parse::<RuleBook>(), Err(InvalidRules::NoRules), "{bad}");
        }
        let expected = "rule 1, name: expected [[rule]] and its fields";
        assert_eq!(parse("rule = [5]"), Err(expected.to_owned()));
    }

    #[test]
    fn accepts_at_most_1000_rules() {
        let rules = |count: usize| -> String {
            (0..count)
                .map(|number| with("name", &format!("\"{number}\"")))
                .collect()
        };
        assert_eq!(parse(&rules(1000)), Ok(1000));
        assert_eq!(rules(1001).parse::<RuleBook>(), Err(InvalidRules::NoRules));
    }

    #[test]
    fn names_the_line_of_a_syntax_error() {
        assert_rejected("rule = []\nname = = 5", "line 2: not valid TOML: ");
    }
}
