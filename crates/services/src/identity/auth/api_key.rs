use secrecy::{ExposeSecret, SecretString};
use sovd_domain::Random;

use super::refresh_token::{hash, random_text};

/// What every key begins with, so that it is told from a token, and found where it should not be.
const PREFIX: &str = "sovd_";

/// The key of a service account: 256 random bits. The database keeps only their hash.
pub(crate) struct ApiKey(SecretString);

impl ApiKey {
    pub(crate) fn generate(random: &dyn Random) -> Self {
        Self(format!("{PREFIX}{}", random_text(random)).into())
    }

    /// The hash of what somebody shows, if it has the form of a key.
    pub(super) fn hash_of(shown: &str) -> Option<String> {
        shown.starts_with(PREFIX).then(|| hash(shown))
    }

    pub(crate) fn hash(&self) -> String {
        hash(self.0.expose_secret())
    }

    pub(crate) fn into_secret(self) -> SecretString {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use sovd_domain::SeededRandom;

    use super::*;

    #[test]
    fn a_key_is_told_from_a_token_and_found_by_its_hash() {
        let key = ApiKey::generate(&SeededRandom::new(1));
        let hash = key.hash();
        let shown = key.into_secret();
        let shown = shown.expose_secret();
        assert_eq!(shown.len(), "sovd_".len() + 43);
        assert_eq!(ApiKey::hash_of(shown), Some(hash));
        assert_eq!(ApiKey::hash_of("eyJhbGciOiJIUzI1NiJ9.e30.x"), None);
    }
}
