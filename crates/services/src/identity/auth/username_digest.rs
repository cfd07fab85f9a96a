use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Map, Value};
use sha2::Sha256;

/// Separates the key of user name digests from every other use of the signing key. It contains a
/// space, so no token is ever signed over it.
const LABEL: &[u8] = b"sovd-command user name digest, version 1";

/// Replaces user names as typed at a login by an HMAC-SHA-256 (RFC 2104).
///
/// Users occasionally type a password into the field for the user name. The digest still shows that two
/// attempts used the same text, but without the signing key guesses cannot be tested against it.
#[derive(Clone)]
pub(super) struct UsernameDigest(Hmac<Sha256>);

impl UsernameDigest {
    /// Derives the key from `signing_key`, the text of the configured key. Processes with the same
    /// signing key compute the same digests; a new signing key changes all of them.
    ///
    /// Returns `None` only if the HMAC implementation rejects the length of the key, which it never does.
    pub(super) fn derived_from(signing_key: &str) -> Option<Self> {
        let derivation = keyed(signing_key.as_bytes())?.chain_update(LABEL);
        keyed(&derivation.finalize().into_bytes()).map(Self)
    }

    /// Returns the digest of `username` in unpadded base64url, 43 characters.
    pub(super) fn of(&self, username: &str) -> String {
        let digest = self.0.clone().chain_update(username.as_bytes());
        URL_SAFE_NO_PAD.encode(digest.finalize().into_bytes())
    }

    /// Returns what an audit entry may contain of `username`: the name if an account has it, otherwise the
    /// digest.
    pub(super) fn audit_details(&self, username: &str, is_account: bool) -> Map<String, Value> {
        let (field, text) = if is_account {
            ("username", username.to_owned())
        } else {
            ("username_hmac", self.of(username))
        };
        Map::from_iter([(field.to_owned(), Value::String(text))])
    }
}

fn keyed(key: &[u8]) -> Option<Hmac<Sha256>> {
    Hmac::new_from_slice(key).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(signing_key: &str, username: &str) -> String {
        UsernameDigest::derived_from(signing_key)
            .unwrap()
            .of(username)
    }

    #[test]
    fn depends_on_the_name_and_on_the_signing_key() {
        assert_eq!(digest("key", "engineer").len(), 43);
        assert_eq!(digest("key", "engineer"), digest("key", "engineer"));
        assert_ne!(digest("key", "engineer"), digest("key", "Engineer"));
        assert_ne!(digest("key", "engineer"), digest("other key", "engineer"));
    }

    #[test]
    fn differs_from_an_hmac_under_the_signing_key_itself() {
        let direct = keyed(b"key").unwrap().chain_update(b"engineer");
        let direct = URL_SAFE_NO_PAD.encode(direct.finalize().into_bytes());
        assert_ne!(digest("key", "engineer"), direct);
    }
}
