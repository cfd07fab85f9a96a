use std::time::Duration;

use secrecy::SecretString;
use serde::Deserialize;

use crate::accepts::Accepts;
use crate::key::Key;

/// Passwords and tokens.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Auth {
    /// Key that signs tokens; in production random and at least 32 bytes long.
    pub jwt_secret: SecretString,
    /// How tokens are signed.
    pub jwt_algorithm: JwtAlgorithm,
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
}

impl Auth {
    pub(crate) const KEYS: &[Key] = &[
        Key::new("auth.jwt_secret", Accepts::Secret).flat("JWT_SECRET"),
        Key::new("auth.jwt_algorithm", Accepts::OneOf(JwtAlgorithm::NAMES)).flat("JWT_ALGORITHM"),
        Key::new("auth.jwt_expiration_minutes", Accepts::Whole(1, 1440))
            .flat("JWT_EXPIRATION_MINUTES"),
        Key::new("auth.refresh_days", Accepts::Whole(1, 365)),
        Key::new("auth.session_days", Accepts::Whole(1, 365)),
        Key::new("auth.remember_seconds", Accepts::Whole(1, 60)),
        Key::new("auth.bcrypt_cost", Accepts::Whole(4, 15)),
    ];

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

/// HMAC algorithm of a token's signature, named as in RFC 7518.
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
}

impl JwtAlgorithm {
    const NAMES: &[&str] = &["HS256", "HS384", "HS512"];
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::Settings;

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
