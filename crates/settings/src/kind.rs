use config::ValueKind;

use crate::text::Text;

/// The values that a setting accepts.
pub(crate) enum Kind {
    Switch,
    /// A whole number between two bounds, both inclusive.
    Whole(i64, i64),
    /// One of these names.
    OneOf(&'static [&'static str]),
    Text(Text),
    /// A text that may be absent. An empty text removes a value of an earlier source.
    Optional(Text),
    /// A list of texts. A variable separates them by commas.
    List(Text),
}

impl Kind {
    /// Returns the value in the form that the field deserializes from, or `None` if it is not
    /// accepted. Files have typed values, variables have texts. `Nil` stands for no value.
    pub(crate) fn validate(&self, value: &ValueKind) -> Option<ValueKind> {
        let is_accepted = match (self, value) {
            (Self::Switch, ValueKind::String(text)) => {
                return Some(text.trim().parse::<bool>().ok()?.into());
            }
            (Self::Whole(..), ValueKind::String(text)) => {
                return self.validate(&text.trim().parse::<i64>().ok()?.into());
            }
            (Self::List(_), ValueKind::String(list)) => return self.validate(&split(list).into()),
            (Self::Optional(_), ValueKind::String(text)) if text.is_empty() => {
                return Some(ValueKind::Nil);
            }
            (Self::Switch, ValueKind::Boolean(_)) => true,
            (Self::Whole(min, max), ValueKind::I64(number)) => (min..=max).contains(&number),
            (Self::OneOf(names), ValueKind::String(name)) => names.contains(&name.as_str()),
            (Self::Text(format) | Self::Optional(format), text) => format.accepts(text),
            (Self::List(format), ValueKind::Array(items)) => {
                items.iter().all(|item| format.accepts(&item.kind))
            }
            _ => false,
        };
        is_accepted.then(|| value.clone())
    }

    /// Describes the accepted values, to follow "expected".
    pub(crate) fn expected(&self) -> String {
        match self {
            Self::Switch => "true or false".to_owned(),
            Self::Whole(min, max) => format!("a whole number from {min} to {max}"),
            Self::OneOf(names) => format!("one of {}", names.join(", ")),
            Self::Text(format) => format.expected.to_owned(),
            Self::Optional(format) => format!("{}, or an empty text for none", format.expected),
            Self::List(format) => format!(
                "{}; several as a list, or separated by commas in a variable",
                format.expected
            ),
        }
    }
}

fn split(list: &str) -> Vec<&str> {
    if list.trim().is_empty() {
        return Vec::new();
    }
    list.split(',').map(str::trim).collect()
}
