use std::fmt::Write;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use sovd_domain::Random;

/// 256 random bits, of which the database stores only the hash.
pub(super) struct RefreshToken(SecretString);

impl RefreshToken {
    pub(super) fn generate(random: &dyn Random) -> Self {
        Self(random_text(random).into())
    }

    /// Derives the successor of a spent token. Neither the spent token nor the salt alone reveals it.
    pub(super) fn successor_of(spent: &str, salt: &[u8]) -> Self {
        let digest = Sha256::new().chain_update(salt).chain_update(spent);
        Self(URL_SAFE_NO_PAD.encode(digest.finalize()).into())
    }

    pub(super) fn hash(&self) -> String {
        hash(self.0.expose_secret())
    }

    pub(super) fn into_secret(self) -> SecretString {
        self.0
    }
}

/// Returns 256 random bits in unpadded base64url.
pub(super) fn random_text(random: &dyn Random) -> String {
    URL_SAFE_NO_PAD.encode(salt(random))
}

/// Returns a salt as long as a token, so that guessing it is no easier.
pub(super) fn salt(random: &dyn Random) -> [u8; 32] {
    let mut salt = [0; 32];
    random.fill(&mut salt);
    salt
}

/// Returns the SHA-256 in hexadecimal. Tokens of 256 random bits need neither a salt nor a slow hash.
pub(super) fn hash(token: &str) -> String {
    Sha256::digest(token.as_bytes())
        .iter()
        .fold(String::with_capacity(64), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn successor_depends_on_token_and_salt() {
        let successor = |token: &str, salt: &[u8]| RefreshToken::successor_of(token, salt).hash();
        let one = successor("token", &[1; 32]);
        assert_eq!(successor("token", &[1; 32]), one);
        assert_ne!(successor("token", &[2; 32]), one);
        assert_ne!(successor("tokem", &[1; 32]), one);
    }

    #[test]
    fn hashes_as_fips_180_4_specifies() {
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(hash("abc"), expected);
    }
}
