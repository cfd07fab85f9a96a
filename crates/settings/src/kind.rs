//! Types of settings: the field that a setting becomes, and the values that it accepts.

use std::marker::PhantomData;
use std::str::FromStr;
use std::time::Duration;

use config::{Value, ValueKind};
use serde::de::DeserializeOwned;
use strum::VariantNames;

/// The type of a setting.
pub trait Kind {
    /// The Rust type of the field.
    type Field: DeserializeOwned;
}

/// How the value of a setting is shown in errors and listings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Visibility {
    Shown,
    /// A URL, shown without its password.
    Url,
    Hidden,
}

/// Validates the value of a setting, whether it is typed by a file or the text of a variable.
pub(crate) trait Validate: Kind {
    const VISIBILITY: Visibility = Visibility::Shown;

    /// Returns the value in the form that the field deserializes from, or `None` if it is not
    /// accepted. `Nil` stands for no value.
    fn validate(value: &ValueKind) -> Option<ValueKind>;

    /// Describes the accepted values, to follow "expected".
    fn expected() -> String;
}

/// A string in one of the formats of the `text` module.
pub(crate) trait Text: Kind {
    const VISIBILITY: Visibility;
    const EXPECTED: &str;

    fn is_valid(text: &str) -> bool;
}

impl<K: Text> Validate for K {
    const VISIBILITY: Visibility = K::VISIBILITY;

    fn validate(value: &ValueKind) -> Option<ValueKind> {
        let text = as_text(value).filter(|text| K::is_valid(text))?;
        Some(text.into())
    }

    fn expected() -> String {
        K::EXPECTED.to_owned()
    }
}

/// A text that may be absent. An empty text removes a value of an earlier source.
pub struct Optional<K>(PhantomData<K>);

impl<K: Kind> Kind for Optional<K> {
    type Field = Option<K::Field>;
}

impl<K: Text> Validate for Optional<K> {
    const VISIBILITY: Visibility = K::VISIBILITY;

    fn validate(value: &ValueKind) -> Option<ValueKind> {
        match as_text(value)? {
            "" => Some(ValueKind::Nil),
            _ => K::validate(value),
        }
    }

    fn expected() -> String {
        format!("{}, or an empty text for none", K::EXPECTED)
    }
}

/// A list of texts. A variable separates them by commas.
pub struct List<K>(PhantomData<K>);

impl<K: Kind> Kind for List<K> {
    type Field = Vec<K::Field>;
}

impl<K: Text> Validate for List<K> {
    fn validate(value: &ValueKind) -> Option<ValueKind> {
        let texts: Vec<&str> = match value {
            ValueKind::String(list) if list.trim().is_empty() => Vec::new(),
            ValueKind::String(list) => list.split(',').map(str::trim).collect(),
            ValueKind::Array(items) => items
                .iter()
                .map(|item: &Value| as_text(&item.kind))
                .collect::<Option<_>>()?,
            _ => return None,
        };
        texts
            .iter()
            .all(|text| K::is_valid(text))
            .then(|| texts.into())
    }

    fn expected() -> String {
        format!(
            "{}; several as a list, or separated by commas in a variable",
            K::EXPECTED
        )
    }
}

impl Kind for bool {
    type Field = bool;
}

impl Validate for bool {
    fn validate(value: &ValueKind) -> Option<ValueKind> {
        match value {
            ValueKind::Boolean(on) => Some((*on).into()),
            _ => as_text(value)?.trim().parse::<bool>().ok().map(Into::into),
        }
    }

    fn expected() -> String {
        "true or false".to_owned()
    }
}

/// A variant of an enum, by its name.
pub struct OneOf<T>(PhantomData<T>);

impl<T: DeserializeOwned> Kind for OneOf<T> {
    type Field = T;
}

impl<T: DeserializeOwned + FromStr + VariantNames> Validate for OneOf<T> {
    fn validate(value: &ValueKind) -> Option<ValueKind> {
        let name = as_text(value).filter(|name| T::from_str(name).is_ok())?;
        Some(name.into())
    }

    fn expected() -> String {
        format!("one of {}", T::VARIANTS.join(", "))
    }
}

/// A whole number from `MIN` to `MAX`; a duration if it has a `UNIT` in milliseconds.
pub struct Whole<N, const MIN: i64, const MAX: i64, const UNIT: u64 = 0>(PhantomData<N>);

/// A duration in milliseconds.
pub type Milliseconds<const MIN: i64, const MAX: i64> = Whole<u64, MIN, MAX, 1>;
/// A duration in seconds.
pub type Seconds<const MIN: i64, const MAX: i64> = Whole<u64, MIN, MAX, 1000>;
/// A duration in minutes.
pub type Minutes<const MIN: i64, const MAX: i64> = Whole<u64, MIN, MAX, 60_000>;
/// A duration in days.
pub type Days<const MIN: i64, const MAX: i64> = Whole<u64, MIN, MAX, 86_400_000>;

impl<N, const MIN: i64, const MAX: i64, const UNIT: u64> Kind for Whole<N, MIN, MAX, UNIT>
where
    N: DeserializeOwned,
{
    type Field = N;
}

impl<N, const MIN: i64, const MAX: i64, const UNIT: u64> Validate for Whole<N, MIN, MAX, UNIT>
where
    N: DeserializeOwned,
{
    fn validate(value: &ValueKind) -> Option<ValueKind> {
        let number = match value {
            ValueKind::I64(number) => *number,
            _ => as_text(value)?.trim().parse().ok()?,
        };
        (MIN..=MAX).contains(&number).then(|| number.into())
    }

    fn expected() -> String {
        format!("a whole number from {MIN} to {MAX}")
    }
}

impl<const MIN: i64, const MAX: i64, const UNIT: u64> Whole<u64, MIN, MAX, UNIT> {
    pub(crate) fn duration(number: u64) -> Duration {
        Duration::from_millis(number.saturating_mul(UNIT))
    }
}

fn as_text(value: &ValueKind) -> Option<&str> {
    match value {
        ValueKind::String(text) => Some(text),
        _ => None,
    }
}
