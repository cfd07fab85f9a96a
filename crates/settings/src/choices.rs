//! Settings with a fixed set of values.

use serde::Deserialize;
use strum::{Display, EnumString, VariantNames};

/// Deployment environment of a process. Selects the file `{environment}.toml`.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Display, EnumString, VariantNames,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum DeploymentEnvironment {
    /// Development of the program itself; the default.
    #[default]
    Development,
    /// Real vehicles. Rejects sample secrets and other unsafe values.
    Production,
    /// Automated tests.
    Test,
}

impl DeploymentEnvironment {
    /// Returns whether this is [`DeploymentEnvironment::Production`].
    pub fn is_production(self) -> bool {
        self == Self::Production
    }
}

/// Signature algorithm of tokens, named as in RFC 7518 and RFC 8037.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, EnumString, VariantNames)]
#[serde(rename_all = "UPPERCASE")]
#[strum(serialize_all = "UPPERCASE")]
pub enum JwtAlgorithm {
    /// HMAC with SHA-256.
    Hs256,
    /// HMAC with SHA-384.
    Hs384,
    /// HMAC with SHA-512.
    Hs512,
    /// RSA (PKCS #1 v1.5) with SHA-256.
    Rs256,
    /// ECDSA over P-256 with SHA-256.
    Es256,
    /// Ed25519.
    #[serde(rename = "EdDSA")]
    #[strum(serialize = "EdDSA")]
    EdDsa,
}

impl JwtAlgorithm {
    /// Returns whether one key both signs and verifies.
    pub fn is_symmetric(self) -> bool {
        matches!(self, Self::Hs256 | Self::Hs384 | Self::Hs512)
    }

    /// Returns the paths of the settings that hold the signing key and the previous key.
    pub fn key_paths(self) -> (&'static str, &'static str) {
        if self.is_symmetric() {
            ("auth.jwt_secret", "auth.jwt_previous_secret")
        } else {
            ("auth.jwt_private_key", "auth.jwt_previous_public_key")
        }
    }
}

/// How commands to a simulated vehicle fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, VariantNames)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum MockFailure {
    /// Commands succeed.
    None,
    /// The vehicle rejects the command.
    Rejected,
    /// The vehicle is unreachable; nothing is sent.
    Unreachable,
    /// The vehicle does not respond in time.
    Timeout,
    /// The connection breaks.
    Broken,
}

/// Format of log entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, VariantNames)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum LogFormat {
    /// One JSON object per line.
    Json,
    /// Text for people.
    Pretty,
}
