use std::str::FromStr;

use derive_more::Display;
use thiserror::Error;

/// A diagnostic trouble code (SAE J2012) such as `P0420` or `B1234-1A`, with or without a failure
/// type byte. Parsing ignores case and normalizes to upper case.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Display)]
pub struct Dtc(String);

/// The text is not a [`Dtc`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("not a trouble code after SAE J2012, such as P0420 or B1234-1A")]
pub struct InvalidDtc;

impl Dtc {
    /// Returns the code in upper case.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Dtc {
    type Err = InvalidDtc;

    fn from_str(text: &str) -> Result<Self, InvalidDtc> {
        // Checks the length before the text is copied.
        parts(text).ok_or(InvalidDtc)?;
        let text = text.to_ascii_uppercase();
        let (code, failure_type) = parts(&text).ok_or(InvalidDtc)?;
        if is_code(code, |_| false) && failure_type.is_none_or(is_failure_type) {
            Ok(Self(text))
        } else {
            Err(InvalidDtc)
        }
    }
}

/// A trouble code in which `.` matches any one digit, such as `P0A..`. Without a failure type byte it
/// matches every failure type, so `P0420` matches `P0420-11`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DtcPattern(String);

/// The text is not a [`DtcPattern`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error(
    "not a trouble code after SAE J2012 with . for any one of its last four digits, such as P0A.. or \
     B1234-1A"
)]
pub struct InvalidPattern;

impl DtcPattern {
    /// Returns whether the pattern matches the code.
    pub fn matches(&self, dtc: &Dtc) -> bool {
        let (Some((wanted, wanted_type)), Some((code, failure_type))) =
            (parts(&self.0), parts(&dtc.0))
        else {
            return false;
        };
        let is_same = |(wanted, digit): (u8, u8)| wanted == b'.' || wanted == digit;
        wanted.bytes().zip(code.bytes()).all(is_same)
            && (wanted_type.is_none() || wanted_type == failure_type)
    }

    /// Returns the pattern as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for DtcPattern {
    type Err = InvalidPattern;

    fn from_str(text: &str) -> Result<Self, InvalidPattern> {
        let (code, failure_type) = parts(text).ok_or(InvalidPattern)?;
        if is_code(code, |digit| digit == b'.') && failure_type.is_none_or(is_failure_type) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidPattern)
        }
    }
}

/// Splits a text into code and failure type byte; returns `None` if its length fits no code.
fn parts(text: &str) -> Option<(&str, Option<&str>)> {
    match text.len() {
        5 => Some((text, None)),
        8 => {
            let (code, failure_type) = text.split_once('-')?;
            Some((code, Some(failure_type)))
        }
        _ => None,
    }
}

/// Returns whether `code` is a system letter, a digit from 0 to 3 and three hexadecimal digits. Each
/// digit may be replaced by a byte that `is_any` accepts.
fn is_code(code: &str, is_any: impl Fn(u8) -> bool) -> bool {
    let [system, kind, rest @ ..] = code.as_bytes() else {
        return false;
    };
    let is_digit = |digit: &u8| is_any(*digit) || is_hex(*digit);
    rest.len() == 3
        && matches!(system, b'P' | b'C' | b'B' | b'U')
        && (is_any(*kind) || matches!(kind, b'0'..=b'3'))
        && rest.iter().all(is_digit)
}

fn is_failure_type(text: &str) -> bool {
    text.len() == 2 && text.bytes().all(is_hex)
}

const fn is_hex(digit: u8) -> bool {
    matches!(digit, b'0'..=b'9' | b'A'..=b'F')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_codes_of_sae_j2012() {
        for good in ["P0420", "C3FFF", "B1234-1A", "U0100", "P0A0F-00"] {
            let dtc: Dtc = good.parse().unwrap();
            assert_eq!(dtc.as_str(), good);
            assert_eq!(good.to_lowercase().parse(), Ok(dtc));
        }
        for bad in [
            "",
            "P042",
            "P04200",
            "P0420-",
            "P0420-1",
            "P0420-111",
            "P0420-1G",
            "P4420",
            "X0420",
            "P042G",
            "P042.",
            "P0420 ",
            " P0420",
            "P0420_11",
            "P042-011",
            "É420",
            "P0420\0",
            "P0ÉÉ",
            "P0420-É",
        ] {
            assert_eq!(bad.parse::<Dtc>(), Err(InvalidDtc), "{bad:?}");
        }
    }

    #[test]
    fn accepts_a_dot_only_for_the_last_four_digits() {
        for good in [
            "P0420", "P0A..", "U01..", "P....", "P.420", "B1234-1A", "B12..-1A",
        ] {
            let pattern: DtcPattern = good.parse().unwrap();
            assert_eq!(pattern.as_str(), good);
        }
        for bad in [
            "", ".0420", ".....", "P4...", "P0A.", "P0A...", "P0A*", "P0A..-", "B1234-.A",
            "B1234-1.", "B1234-..", "p0a..", "P0a..", "P0G..",
        ] {
            assert_eq!(bad.parse::<DtcPattern>(), Err(InvalidPattern), "{bad:?}");
        }
    }

    #[test]
    fn matches_digits_and_failure_types() {
        for (pattern, code, is_match) in [
            ("P0420", "P0420", true),
            ("P0420", "P0430", false),
            ("P0420", "P0420-11", true),
            ("P0420-11", "P0420-11", true),
            ("P0420-11", "P0420-12", false),
            ("P0420-11", "P0420", false),
            ("P0A..", "P0A7F", true),
            ("P0A..", "P0A00-1C", true),
            ("P0A..", "P0B00", false),
            ("P0A..-1C", "P0A00-1C", true),
            ("P0A..-1C", "P0A00-1D", false),
            ("U....", "U3FFF", true),
            ("U....", "C3FFF", false),
            ("C.1..", "C3123", true),
            ("C.1..", "C3223", false),
        ] {
            let found = pattern
                .parse::<DtcPattern>()
                .unwrap()
                .matches(&code.parse().unwrap());
            assert_eq!(found, is_match, "{pattern} and {code}");
        }
    }
}
