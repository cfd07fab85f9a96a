use secrecy::{ExposeSecret, SecretString};
use sovd_domain::Random;

use super::refresh_token::{hash, random_text};

/// Distinguishes keys from tokens, and lets secret scanners find leaked keys.
const PREFIX: &str = "sovd_";

/// The key of a service account: 256 random bits, of which the database stores only the hash.
pub(crate) struct ApiKey(SecretString);

impl ApiKey {
    pub(crate) fn generate(random: &dyn Random) -> Self {
        Self(format!("{PREFIX}{}", random_text(random)).into())
    }

    /// Returns the hash of `credential` if it has the prefix of a key.
    pub(super) fn hash_of(credential: &str) -> Option<String> {
        credential.starts_with(PREFIX).then(|| hash(credential))
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
    fn hashes_keys_but_not_tokens() {
        let key = ApiKey::generate(&SeededRandom::new(1));
        let hash = key.hash();
        let secret = key.into_secret();
        let secret = secret.expose_secret();
        assert_eq!(secret.len(), "sovd_".len() + 43);
        assert_eq!(ApiKey::hash_of(secret), Some(hash));
        assert_eq!(ApiKey::hash_of("eyJhbGciOiJIUzI1NiJ9.e30.x"), None);
    }
}
