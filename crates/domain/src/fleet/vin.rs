//! Vehicle identification numbers.

use std::{fmt, str::FromStr};

use serde::Deserialize;
use thiserror::Error;

/// A vehicle identification number: 1 to 17 of A-Z and 0-9, kept in upper case.
///
/// ISO 3779 asks for exactly 17 without I, O and Q. Prototypes and trailers break that rule, so
/// the check is the wider one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct Vin(String);

/// The text is no [`Vin`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a VIN has 1 to 17 characters of A-Z and 0-9")]
pub struct InvalidVin;

impl Vin {
    /// The most characters a VIN has.
    pub const MAX_LENGTH: usize = 17;

    /// The VIN in upper case.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Vin {
    type Err = InvalidVin;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if !plain || text.is_empty() || text.len() > Self::MAX_LENGTH {
            return Err(InvalidVin);
        }
        Ok(Self(text.to_ascii_uppercase()))
    }
}

impl TryFrom<String> for Vin {
    type Error = InvalidVin;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl fmt::Display for Vin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_kept_in_upper_case() {
        let vin: Vin = "testvin0000000001".parse().unwrap();
        assert_eq!(vin.as_str(), "TESTVIN0000000001");
    }

    #[test]
    fn has_one_to_seventeen_characters() {
        assert!("A".parse::<Vin>().is_ok());
        assert!("A".repeat(17).parse::<Vin>().is_ok());
        assert_eq!("A".repeat(18).parse::<Vin>(), Err(InvalidVin));
        assert_eq!("".parse::<Vin>(), Err(InvalidVin));
    }

    #[test]
    fn has_only_letters_and_digits() {
        for bad in ["VIN 1", "VIN-1", "VIN%", "VÍN", "VIN\0"] {
            assert_eq!(bad.parse::<Vin>(), Err(InvalidVin), "{bad:?}");
        }
    }
}
