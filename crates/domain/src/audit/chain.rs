use std::{fmt, str::FromStr};

use thiserror::Error;

/// The link of an entry in the hash chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    /// Counts sealed entries from 1.
    pub position: i64,
    /// Covers the entry and all entries before it.
    pub hash: ChainHash,
}

impl Link {
    /// The predecessor of the first entry.
    pub const GENESIS: Self = Self {
        position: 0,
        hash: ChainHash([0; ChainHash::LENGTH]),
    };
}

/// SHA-256 of the previous hash and the content of an entry. Its text form is 64 lowercase
/// hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ChainHash(pub [u8; Self::LENGTH]);

/// The error for a text or byte string that is not a [`ChainHash`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("not 32 bytes or 64 lowercase hexadecimal digits")]
pub struct InvalidChainHash;

impl ChainHash {
    /// The length in bytes.
    pub const LENGTH: usize = 32;
}

impl TryFrom<&[u8]> for ChainHash {
    type Error = InvalidChainHash;

    fn try_from(bytes: &[u8]) -> Result<Self, InvalidChainHash> {
        bytes.try_into().map(Self).map_err(|_| InvalidChainHash)
    }
}

impl fmt::Display for ChainHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ChainHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ChainHash({self})")
    }
}

impl FromStr for ChainHash {
    type Err = InvalidChainHash;

    fn from_str(text: &str) -> Result<Self, InvalidChainHash> {
        let digits = text
            .bytes()
            .map(|digit| match digit {
                b'0'..=b'9' => Ok(digit - b'0'),
                b'a'..=b'f' => Ok(digit - b'a' + 10),
                _ => Err(InvalidChainHash),
            })
            .collect::<Result<Vec<u8>, _>>()?;
        let (pairs, []) = digits.as_chunks::<2>() else {
            return Err(InvalidChainHash);
        };
        let bytes: Vec<u8> = pairs.iter().map(|[high, low]| high << 4 | low).collect();
        Self::try_from(bytes.as_slice())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_its_own_text() {
        let mut hash = Link::GENESIS.hash;
        hash.0[0] = 0x0f;
        hash.0[31] = 0xa1;
        let text = hash.to_string();
        assert!(text.starts_with("0f00") && text.ends_with("00a1"), "{text}");
        assert_eq!(text.parse(), Ok(hash));
    }

    #[test]
    fn parses_only_64_lowercase_digits() {
        assert!("a".repeat(64).parse::<ChainHash>().is_ok());
        let lengths = [0, 1, 62, 63, 65].map(|length| "a".repeat(length));
        let digits = ["A", "g"].map(|digit| digit.repeat(64));
        for text in lengths.iter().chain(&digits) {
            assert_eq!(text.parse::<ChainHash>(), Err(InvalidChainHash), "{text}");
        }
    }
}
