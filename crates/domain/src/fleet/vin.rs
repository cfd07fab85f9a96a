use std::str::FromStr;

use derive_more::Display;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A vehicle identification number: 1 to 17 characters from A-Z and 0-9, stored in upper case.
///
/// ISO 3779 requires exactly 17 characters without I, O and Q. This type is more lenient because
/// prototypes and trailers do not follow the standard.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Display)]
#[serde(try_from = "String")]
pub struct Vin(String);

/// The error of parsing an invalid [`Vin`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a VIN has 1 to 17 characters of A-Z and 0-9")]
pub struct InvalidVin;

impl Vin {
    /// The maximum number of characters.
    pub const MAX_LENGTH: usize = 17;

    /// Returns the VIN in upper case.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Vin {
    type Err = InvalidVin;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_alphanumeric = text.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if !is_alphanumeric || text.is_empty() || text.len() > Self::MAX_LENGTH {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn converts_to_upper_case() {
        let vin: Vin = "testvin0000000001".parse().unwrap();
        assert_eq!(vin.as_str(), "TESTVIN0000000001");
    }

    #[test]
    fn accepts_one_to_seventeen_characters() {
        for (length, is_valid) in [(0, false), (1, true), (17, true), (18, false)] {
            assert_eq!(
                "A".repeat(length).parse::<Vin>().is_ok(),
                is_valid,
                "{length}"
            );
        }
    }

    #[test]
    fn rejects_characters_other_than_ascii_letters_and_digits() {
        for bad in ["VIN 1", "VIN-1", "VIN%", "VÍN", "VIN\0"] {
            assert_eq!(bad.parse::<Vin>(), Err(InvalidVin), "{bad:?}");
        }
    }
}
