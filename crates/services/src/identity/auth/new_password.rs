use std::ops::RangeInclusive;

use secrecy::{ExposeSecret, SecretString};
use sovd_domain::FieldError;
use thiserror::Error;

/// One lower-case password per line; see `common_passwords.md` for their origin.
const COMMON: &str = include_str!("common_passwords.txt");

/// A password that meets the rules. Its `Debug` output is redacted.
#[derive(Debug)]
pub struct NewPassword(SecretString);

/// The rule that a password violates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PasswordRefused {
    /// The password is too short or too long.
    #[error(
        "must have {} to {} characters",
        NewPassword::LENGTH.start(),
        NewPassword::LENGTH.end()
    )]
    Length,
    /// The password is the user name in any case.
    #[error("must differ from the user name")]
    Username,
    /// The password is one of the 10,000 most common.
    #[error("must not be among the 10,000 most common passwords")]
    Common,
}

impl NewPassword {
    /// The accepted lengths in Unicode scalar values.
    pub const LENGTH: RangeInclusive<usize> = 12..=128;

    /// Checks `password` for `username`, up to the first violated rule. Characters are Unicode scalar values;
    /// nothing is trimmed or normalized.
    pub fn check(password: SecretString, username: &str) -> Result<Self, PasswordRefused> {
        let text = password.expose_secret();
        if !Self::LENGTH.contains(&text.chars().count()) {
            return Err(PasswordRefused::Length);
        }
        let lower_cased = SecretString::from(text.to_lowercase());
        if lower_cased.expose_secret() == username.to_lowercase() {
            return Err(PasswordRefused::Username);
        }
        if is_common(lower_cased.expose_secret()) {
            return Err(PasswordRefused::Common);
        }
        Ok(Self(password))
    }

    pub(super) fn into_secret(self) -> SecretString {
        self.0
    }
}

impl PasswordRefused {
    /// Converts to an error of the field at `pointer` (RFC 6901).
    pub fn at(self, pointer: &str) -> FieldError {
        FieldError::new(pointer, self.to_string())
    }
}

fn is_common(lower_cased: &str) -> bool {
    COMMON.lines().any(|common| common == lower_cased)
}

#[cfg(test)]
mod tests {
    use super::{
        PasswordRefused::{Common, Length, Username},
        *,
    };

    fn check(text: &str, username: &str) -> Result<(), PasswordRefused> {
        NewPassword::check(text.into(), username).map(|_| ())
    }

    #[test]
    fn accepts_12_to_128_characters_of_any_width() {
        for character in ["x", "ü", "🚗"] {
            for (count, outcome) in [
                (0, Err(Length)),
                (11, Err(Length)),
                (12, Ok(())),
                (128, Ok(())),
                (129, Err(Length)),
            ] {
                assert_eq!(
                    check(&character.repeat(count), "engineer"),
                    outcome,
                    "{count}"
                );
            }
        }
    }

    #[test]
    fn rejects_the_user_name_in_any_case() {
        for (text, username, outcome) in [
            ("chief-engineer", "chief-engineer", Err(Username)),
            ("chief-engineer", "Chief-Engineer", Err(Username)),
            ("chief-engineer", "engineer", Ok(())),
            ("Chief-ENGINEER", "chief-engineer", Err(Username)),
            ("Chief-ENGINEER", "Chief-Engineer", Err(Username)),
            ("Chief-ENGINEER", "engineer", Ok(())),
            ("ÜBERPRÜFERIN", "überprüferin", Err(Username)),
            ("chief-engineer ", "chief-engineer", Ok(())),
        ] {
            assert_eq!(check(text, username), outcome, "{text} {username}");
        }
    }

    #[test]
    fn rejects_common_passwords_in_any_case() {
        for (text, outcome) in [
            ("unbelievable", Err(Common)),
            ("UnBelievable", Err(Common)),
            ("1qaz2wsx3edc", Err(Common)),
            ("qwerty123456", Err(Common)),
            ("unbelievable.", Ok(())),
        ] {
            assert_eq!(check(text, "engineer"), outcome, "{text}");
        }
    }

    #[test]
    fn lists_only_passwords_that_meet_the_other_rules() {
        assert_eq!(COMMON.lines().count(), 208);
        for common in COMMON.lines() {
            // `Common` is the last rule that is checked.
            assert_eq!(check(common, "engineer"), Err(Common), "{common}");
        }
    }

    #[test]
    fn debug_and_errors_do_not_reveal_the_password() {
        let password = NewPassword::check("correct horse battery".into(), "engineer").unwrap();
        assert!(!format!("{password:?}").contains("horse"));
        let refused = NewPassword::check("unbelievable".into(), "engineer").unwrap_err();
        let field = refused.at("/new_password");
        assert_eq!(field.pointer, "/new_password");
        assert!(!format!("{refused:?} {refused} {field:?}").contains("unbelievable"));
    }
}
