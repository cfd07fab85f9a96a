use serde::Deserialize;
use strum::{EnumString, VariantNames};

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
    #[must_use]
    pub fn is_symmetric(self) -> bool {
        matches!(self, Self::Hs256 | Self::Hs384 | Self::Hs512)
    }

    /// Returns the path of the setting that holds the signing key.
    #[must_use]
    pub fn signing_key_path(self) -> &'static str {
        if self.is_symmetric() {
            "auth.jwt_secret"
        } else {
            "auth.jwt_private_key"
        }
    }

    /// Returns the path of the setting that holds the previous key.
    #[must_use]
    pub fn previous_key_path(self) -> &'static str {
        if self.is_symmetric() {
            "auth.jwt_previous_secret"
        } else {
            "auth.jwt_previous_public_key"
        }
    }
}
