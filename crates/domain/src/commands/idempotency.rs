//! Keys with which a client repeats a request whose response was lost.

use std::str::FromStr;

use derive_more::Display;
use thiserror::Error;

/// The value of an `Idempotency-Key` header: 1 to 255 visible ASCII characters.
#[derive(Debug, Clone, PartialEq, Eq, Display)]
pub struct IdempotencyKey(String);

/// The error for a text that is not an [`IdempotencyKey`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("an idempotency key is 1 to 255 visible ASCII characters, without blanks")]
pub struct InvalidIdempotencyKey;

impl IdempotencyKey {
    /// Returns the key as it was sent.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for IdempotencyKey {
    type Err = InvalidIdempotencyKey;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_visible = text.bytes().all(|byte| byte.is_ascii_graphic());
        if is_visible && (1..=255).contains(&text.len()) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidIdempotencyKey)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_1_to_255_visible_characters() {
        let (longest, too_long) = ("k".repeat(255), "k".repeat(256));
        for good in [
            "k",
            "!",
            "~",
            "8e03978e-40d5-43dd-bc93-6894a57f9324",
            &longest,
        ] {
            assert!(good.parse::<IdempotencyKey>().is_ok(), "{good}");
        }
        for bad in ["", " ", "a b", "a\t", "\u{7f}", "é", &too_long] {
            assert!(bad.parse::<IdempotencyKey>().is_err(), "{bad:?}");
        }
    }
}
