use std::time::Duration;

use secrecy::SecretString;
use serde::Deserialize;

use crate::accepts::Accepts;
use crate::key::Key;

/// Passwords and tokens.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Auth {
    /// How tokens are signed.
    pub jwt_algorithm: JwtAlgorithm,
    /// Key that signs tokens with HS256, HS384 or HS512; in production random and at least 32
    /// bytes long.
    pub jwt_secret: Option<SecretString>,
    /// PEM of the private key that signs tokens with RS256, ES256 or `EdDSA`.
    pub jwt_private_key: Option<SecretString>,
    /// Secret that signed tokens before `jwt_secret`; its tokens are still accepted.
    pub jwt_previous_secret: Option<SecretString>,
    /// PEM of the public half of the key that signed tokens before `jwt_private_key`; its tokens
    /// are still accepted.
    pub jwt_previous_public_key: Option<SecretString>,
    /// Seconds by which the clocks of two servers may differ, 0 to 30.
    pub leeway_seconds: u32,
    /// Minutes an access token is valid, 1 to 1440.
    pub jwt_expiration_minutes: u32,
    /// Days a refresh token is valid, 1 to 365.
    pub refresh_days: u32,
    /// Days a session lasts however often it is refreshed, 1 to 365.
    pub session_days: u32,
    /// Seconds for which a process remembers who belongs to a session, 1 to 60.
    pub remember_seconds: u32,
    /// bcrypt cost of a password hash, 4 to 15, in production at least 10.
    pub bcrypt_cost: u32,
    /// Failed logins of one account that hold nobody up, 0 to 1000000; 0 is no limit.
    pub account_attempts: u32,
    /// Failed logins from one address that hold nobody up, 0 to 1000000; 0 is no limit.
    pub address_attempts: u32,
}

impl Auth {
    pub(crate) const KEYS: &[Key] = &[
        Key::new("auth.jwt_algorithm", Accepts::OneOf(JwtAlgorithm::NAMES)).flat("JWT_ALGORITHM"),
        Key::new(JwtAlgorithm::SECRET, Accepts::Secret).flat("JWT_SECRET"),
        Key::new(JwtAlgorithm::PRIVATE_KEY, Accepts::OptionalSecret).flat("JWT_PRIVATE_KEY"),
        Key::new("auth.jwt_previous_secret", Accepts::OptionalSecret).flat("JWT_PREVIOUS_SECRET"),
        Key::new("auth.jwt_previous_public_key", Accepts::OptionalSecret)
            .flat("JWT_PREVIOUS_PUBLIC_KEY"),
        Key::new("auth.leeway_seconds", Accepts::Whole(0, 30)),
        Key::new("auth.jwt_expiration_minutes", Accepts::Whole(1, 1440))
            .flat("JWT_EXPIRATION_MINUTES"),
        Key::new("auth.refresh_days", Accepts::Whole(1, 365)),
        Key::new("auth.session_days", Accepts::Whole(1, 365)),
        Key::new("auth.remember_seconds", Accepts::Whole(1, 60)),
        Key::new("auth.bcrypt_cost", Accepts::Whole(4, 15)),
        Key::new("auth.account_attempts", Accepts::Whole(0, 1_000_000)),
        Key::new("auth.address_attempts", Accepts::Whole(0, 1_000_000)),
    ];

    /// The key that signs, which `jwt_algorithm` chooses: a secret, or the PEM of a private key.
    /// Nothing only in settings that were not loaded.
    #[must_use]
    pub fn signing_key(&self) -> Option<&SecretString> {
        if self.jwt_algorithm.is_symmetric() {
            self.jwt_secret.as_ref()
        } else {
            self.jwt_private_key.as_ref()
        }
    }

    /// The key that signed before and is still accepted: a secret, or the PEM of a public key.
    #[must_use]
    pub fn previous_key(&self) -> Option<&SecretString> {
        if self.jwt_algorithm.is_symmetric() {
            self.jwt_previous_secret.as_ref()
        } else {
            self.jwt_previous_public_key.as_ref()
        }
    }

    /// Time by which the clocks of two servers may differ.
    #[must_use]
    pub fn leeway(&self) -> Duration {
        Duration::from_secs(u64::from(self.leeway_seconds))
    }

    /// Time an access token is valid.
    #[must_use]
    pub fn access_ttl(&self) -> Duration {
        Duration::from_mins(u64::from(self.jwt_expiration_minutes))
    }

    /// Time a session lasts at most.
    #[must_use]
    pub fn session_ttl(&self) -> Duration {
        Duration::from_hours(24 * u64::from(self.session_days))
    }

    /// Time for which a process remembers who belongs to a session.
    #[must_use]
    pub fn memory(&self) -> Duration {
        Duration::from_secs(u64::from(self.remember_seconds))
    }

    /// Time a refresh token is valid.
    #[must_use]
    pub fn refresh_ttl(&self) -> Duration {
        Duration::from_hours(24 * u64::from(self.refresh_days))
    }
}

/// Algorithm of a token's signature, named as in RFC 7518 and RFC 8037.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum JwtAlgorithm {
    /// HMAC with SHA-256.
    #[serde(rename = "HS256")]
    Hs256,
    /// HMAC with SHA-384.
    #[serde(rename = "HS384")]
    Hs384,
    /// HMAC with SHA-512.
    #[serde(rename = "HS512")]
    Hs512,
    /// RSA (PKCS #1 v1.5) with SHA-256.
    #[serde(rename = "RS256")]
    Rs256,
    /// ECDSA over P-256 with SHA-256.
    #[serde(rename = "ES256")]
    Es256,
    /// Ed25519.
    #[serde(rename = "EdDSA")]
    EdDsa,
}

impl JwtAlgorithm {
    const SECRET: &str = "auth.jwt_secret";
    const PRIVATE_KEY: &str = "auth.jwt_private_key";
    const NAMES: &[&str] = &["HS256", "HS384", "HS512", "RS256", "ES256", "EdDSA"];

    /// Whether the key that checks a signature also makes one.
    #[must_use]
    pub fn is_symmetric(self) -> bool {
        matches!(self, Self::Hs256 | Self::Hs384 | Self::Hs512)
    }

    /// Path of the key that signs, which must be set.
    #[must_use]
    pub fn signing_key_path(self) -> &'static str {
        if self.is_symmetric() {
            Self::SECRET
        } else {
            Self::PRIVATE_KEY
        }
    }

    /// Path of the key that signed before.
    #[must_use]
    pub fn previous_key_path(self) -> &'static str {
        if self.is_symmetric() {
            "auth.jwt_previous_secret"
        } else {
            "auth.jwt_previous_public_key"
        }
    }

    /// The algorithm with this name.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        [
            Self::Hs256,
            Self::Hs384,
            Self::Hs512,
            Self::Rs256,
            Self::Es256,
            Self::EdDsa,
        ]
        .into_iter()
        .zip(Self::NAMES)
        .find_map(|(algorithm, known)| (*known == name).then_some(algorithm))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Settings;

    #[test]
    fn an_algorithm_is_found_by_its_name() {
        for name in JwtAlgorithm::NAMES {
            let found = JwtAlgorithm::from_name(name).unwrap();
            assert_eq!(format!("{found:?}").to_uppercase(), name.to_uppercase());
        }
        assert_eq!(JwtAlgorithm::from_name("none"), None);
    }

    #[test]
    fn lifetimes_are_minutes_and_days() {
        let mut auth = Settings::for_tests("postgres://localhost/db", None).auth;
        auth.jwt_expiration_minutes = 15;
        auth.refresh_days = 7;
        auth.session_days = 30;
        auth.remember_seconds = 5;

        assert_eq!(auth.access_ttl(), Duration::from_mins(15));
        assert_eq!(auth.refresh_ttl(), Duration::from_hours(168));
        assert_eq!(auth.session_ttl(), Duration::from_hours(720));
        assert_eq!(auth.memory(), Duration::from_secs(5));
    }
}
