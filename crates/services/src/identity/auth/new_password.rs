use secrecy::{ExposeSecret, SecretString};
use sovd_domain::FieldError;
use thiserror::Error;

/// How long a password is, in Unicode scalar values.
const LENGTH: std::ops::RangeInclusive<usize> = 12..=128;

/// One to a line, lower-cased; `common_passwords.md` says where they come from.
const COMMON: &str = include_str!("common_passwords.txt");

/// A password that somebody may choose. Its `Debug` does not show it.
#[derive(Debug)]
pub struct NewPassword(SecretString);

/// The rule that a password breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PasswordRefused {
    /// It is too short or too long.
    #[error("a password of 12 to 128 characters is accepted")]
    Length,
    /// It is the user's name, in whatever case.
    #[error("a password that is not the user name is accepted")]
    Username,
    /// Many people have it, so it is guessed first.
    #[error("a password that is not among the 10,000 most common is accepted")]
    Common,
}

impl NewPassword {
    /// `text` as the password of `username`. Characters are Unicode scalar values, and nothing is
    /// trimmed or normalised.
    ///
    /// # Errors
    ///
    /// The first rule that it breaks.
    pub fn check(text: SecretString, username: &str) -> Result<Self, PasswordRefused> {
        let shown = text.expose_secret();
        if !LENGTH.contains(&shown.chars().count()) {
            return Err(PasswordRefused::Length);
        }
        let lower_cased = SecretString::from(shown.to_lowercase());
        if lower_cased.expose_secret() == username.to_lowercase() {
            return Err(PasswordRefused::Username);
        }
        if is_common(lower_cased.expose_secret()) {
            return Err(PasswordRefused::Common);
        }
        Ok(Self(text))
    }

    pub(super) fn into_secret(self) -> SecretString {
        self.0
    }
}

impl PasswordRefused {
    /// The same, about the field at `pointer` (RFC 6901).
    pub fn at(self, pointer: &str) -> FieldError {
        FieldError::new(pointer, self.to_string())
    }
}

fn is_common(lower_cased: &str) -> bool {
    COMMON.lines().any(|common| common == lower_cased)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, username: &str) -> Result<(), PasswordRefused> {
        NewPassword::check(text.into(), username).map(|_| ())
    }

    #[test]
    fn has_12_to_128_characters_however_many_bytes_they_take() {
        for character in ["x", "ü", "🚗"] {
            let of = |count| check(&character.repeat(count), "engineer");
            assert_eq!(of(11), Err(PasswordRefused::Length));
            assert_eq!(of(12), Ok(()));
            assert_eq!(of(128), Ok(()));
            assert_eq!(of(129), Err(PasswordRefused::Length));
        }
        assert_eq!(check("", "engineer"), Err(PasswordRefused::Length));
    }

    #[test]
    fn is_not_the_user_name_in_any_case() {
        for text in ["chief-engineer", "Chief-ENGINEER"] {
            assert_eq!(
                check(text, "chief-engineer"),
                Err(PasswordRefused::Username)
            );
            assert_eq!(
                check(text, "Chief-Engineer"),
                Err(PasswordRefused::Username)
            );
            assert_eq!(check(text, "engineer"), Ok(()));
        }
        assert_eq!(
            check("ÜBERPRÜFERIN", "überprüferin"),
            Err(PasswordRefused::Username)
        );
        assert_eq!(check("chief-engineer ", "chief-engineer"), Ok(()));
    }

    #[test]
    fn is_not_common_in_any_case() {
        for text in [
            "unbelievable",
            "UnBelievable",
            "1qaz2wsx3edc",
            "qwerty123456",
        ] {
            assert_eq!(
                check(text, "engineer"),
                Err(PasswordRefused::Common),
                "{text}"
            );
        }
        assert_eq!(check("unbelievable.", "engineer"), Ok(()));
    }

    #[test]
    fn every_common_one_could_be_chosen_otherwise() {
        assert_eq!(COMMON.lines().count(), 208);
        for common in COMMON.lines() {
            assert!(LENGTH.contains(&common.chars().count()), "{common}");
            assert_eq!(check(common, "engineer"), Err(PasswordRefused::Common));
        }
    }

    #[test]
    fn is_shown_nowhere() {
        let password = NewPassword::check("correct horse battery".into(), "engineer").unwrap();
        assert!(!format!("{password:?}").contains("horse"));
        let refused = NewPassword::check("unbelievable".into(), "engineer").unwrap_err();
        let field = refused.at("/new_password");
        assert_eq!(field.pointer, "/new_password");
        assert!(!format!("{refused:?} {refused} {field:?}").contains("unbelievable"));
    }
}
