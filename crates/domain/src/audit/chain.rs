use std::{fmt, str::FromStr};

use thiserror::Error;

/// A line's place in the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    /// 1 for the first line that was ever sealed; 0 is the place before it.
    pub position: i64,
    /// Stands for the line and all before it.
    pub hash: ChainHash,
}

impl Link {
    /// What the first line follows.
    pub const GENESIS: Self = Self {
        position: 0,
        hash: ChainHash([0; ChainHash::LENGTH]),
    };
}

/// SHA-256 of the hash before and a line's content; 64 lower-case hexadecimal digits as text.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ChainHash(pub [u8; Self::LENGTH]);

/// A text or a row of bytes that is no hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("not 32 bytes, or 64 lower-case hexadecimal digits")]
pub struct InvalidChainHash;

impl ChainHash {
    /// In bytes.
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
    fn a_hash_is_read_as_it_is_shown() {
        let mut hash = Link::GENESIS.hash;
        hash.0[0] = 0x0f;
        hash.0[31] = 0xa1;
        let text = hash.to_string();
        assert!(text.starts_with("0f00") && text.ends_with("00a1"), "{text}");
        assert_eq!(text.parse(), Ok(hash));
    }

    #[test]
    fn sixty_four_small_digits_and_nothing_else_are_a_hash() {
        assert!("a".repeat(64).parse::<ChainHash>().is_ok());
        for text in [
            "",
            "0",
            &"a".repeat(62),
            &"a".repeat(63),
            &"a".repeat(65),
            &"A".repeat(64),
            &"g".repeat(64),
        ] {
            assert_eq!(text.parse::<ChainHash>(), Err(InvalidChainHash), "{text}");
        }
    }
}
