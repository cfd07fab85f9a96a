use std::ops::RangeInclusive;

use jsonwebtoken::{
    Algorithm, AlgorithmFamily, DecodingKey, DecodingKeyKind, EncodingKey, Header, Validation,
    crypto::sign,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, ThumbprintHash},
};
use secrecy::{ExposeSecret, SecretString};
use thiserror::Error;

use super::username_digest::UsernameDigest;

/// The message whose HMAC identifies a secret. It contains a space, so it cannot be part of a token.
const KID_LABEL: &[u8] = b"sovd-command key id";

/// The length of the id of a secret in characters of 6 bits.
const SECRET_KID_LENGTH: usize = 22;

/// The accepted lengths of an RSA modulus in bits.
const RSA_BITS: RangeInclusive<usize> = 2048..=8192;

/// The key that signs access tokens, and the keys whose tokens are accepted.
pub struct SigningKeys {
    algorithm: Algorithm,
    kid: String,
    encoding: EncodingKey,
    accepted: Vec<AcceptedKey>,
    username_digest: UsernameDigest,
}

struct AcceptedKey {
    kid: String,
    decoding: DecodingKey,
}

/// A key does not fit the algorithm. The message says what is expected and does not quote the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SigningKeyError {
    /// The current key, which signs.
    #[error("expected {0}")]
    Current(&'static str),
    /// The previous key, which only verifies.
    #[error("expected {0}")]
    Previous(&'static str),
}

impl SigningKeys {
    /// Parses the keys of `algorithm`. For HMAC, `key` and `previous` are secrets; otherwise `key` is a
    /// private and `previous` a public key as PEM.
    pub fn new(
        algorithm: Algorithm,
        key: &SecretString,
        previous: Option<&SecretString>,
    ) -> Result<Self, SigningKeyError> {
        let (key, rejected) = (
            key.expose_secret(),
            SigningKeyError::Current(signing_key(algorithm)),
        );
        let (encoding, current) = current_key(key, algorithm).ok_or(rejected)?;
        let username_digest = UsernameDigest::derived_from(key).ok_or(rejected)?;
        let kid = current.kid.clone();
        let mut accepted = vec![current];
        if let Some(previous) = previous {
            let previous = previous_key(previous.expose_secret(), algorithm);
            accepted.push(previous.ok_or(SigningKeyError::Previous(verifying_key(algorithm)))?);
        }
        Ok(Self {
            algorithm,
            kid,
            encoding,
            accepted,
            username_digest,
        })
    }

    /// Returns the digest of user names, keyed by the current key.
    pub(super) fn username_digest(&self) -> UsernameDigest {
        self.username_digest.clone()
    }

    /// The header of a token signed with the current key.
    pub(super) fn header(&self) -> Header {
        Header {
            kid: Some(self.kid.clone()),
            ..Header::new(self.algorithm)
        }
    }

    pub(super) fn encoding(&self) -> &EncodingKey {
        &self.encoding
    }

    /// Finds the key that the header names. Rejects headers without `kid` or with critical extensions
    /// (RFC 7515, section 4.1.11).
    pub(super) fn decoding(&self, header: &Header) -> Option<&DecodingKey> {
        let kid = header.kid.as_ref()?;
        let named = self.accepted.iter().find(|key| key.kid == *kid)?;
        header.crit.is_none().then_some(&named.decoding)
    }

    /// A validation that accepts only the configured algorithm, whatever the header says.
    pub(super) fn validation(&self) -> Validation {
        Validation::new(self.algorithm)
    }
}

/// Describes the keys that sign with `algorithm`.
fn signing_key(algorithm: Algorithm) -> &'static str {
    match algorithm.family() {
        AlgorithmFamily::Hmac => "a secret that is not empty",
        AlgorithmFamily::Rsa => "an RSA private key of 2048 to 8192 bits as PEM (PKCS#8 or PKCS#1)",
        AlgorithmFamily::Ec => "a P-256 private key as PEM (PKCS#8)",
        AlgorithmFamily::Ed => "an Ed25519 private key as PEM (PKCS#8)",
    }
}

/// Describes the keys that verify `algorithm`.
fn verifying_key(algorithm: Algorithm) -> &'static str {
    match algorithm.family() {
        AlgorithmFamily::Hmac => "a secret that is not empty",
        AlgorithmFamily::Rsa => "an RSA public key of 2048 to 8192 bits as PEM",
        AlgorithmFamily::Ec => "a P-256 public key as PEM",
        AlgorithmFamily::Ed => "an Ed25519 public key as PEM",
    }
}

/// Parses the signing key and derives the key that verifies it.
fn current_key(text: &str, algorithm: Algorithm) -> Option<(EncodingKey, AcceptedKey)> {
    let pem = text.as_bytes();
    let encoding = match algorithm.family() {
        AlgorithmFamily::Hmac => {
            return Some((
                EncodingKey::from_secret(pem),
                AcceptedKey::from_secret(text)?,
            ));
        }
        AlgorithmFamily::Rsa => EncodingKey::from_rsa_pem(pem),
        AlgorithmFamily::Ec => EncodingKey::from_ec_pem(pem),
        AlgorithmFamily::Ed => EncodingKey::from_ed_pem(pem),
    };
    let encoding = encoding.ok()?;
    let jwk = Jwk::from_encoding_key(&encoding, algorithm).ok()?;
    Some((encoding, AcceptedKey::from_public_jwk(&jwk)?))
}

fn previous_key(text: &str, algorithm: Algorithm) -> Option<AcceptedKey> {
    let pem = text.as_bytes();
    let decoding = match algorithm.family() {
        AlgorithmFamily::Hmac => return AcceptedKey::from_secret(text),
        AlgorithmFamily::Rsa => DecodingKey::from_rsa_pem(pem),
        AlgorithmFamily::Ec => DecodingKey::from_ec_pem(pem),
        AlgorithmFamily::Ed => DecodingKey::from_ed_pem(pem),
    };
    let jwk = Jwk::from_decoding_key(&decoding.ok()?, Some(algorithm)).ok()?;
    AcceptedKey::from_public_jwk(&jwk)
}

impl AcceptedKey {
    /// Accepts a secret. Its id is an HMAC and does not reveal it.
    fn from_secret(secret: &str) -> Option<Self> {
        let mut kid = sign(
            KID_LABEL,
            &EncodingKey::from_secret(secret.as_bytes()),
            Algorithm::HS256,
        )
        .ok()?;
        kid.truncate(SECRET_KID_LENGTH);
        (!secret.is_empty()).then(|| Self {
            kid,
            decoding: DecodingKey::from_secret(secret.as_bytes()),
        })
    }

    /// Accepts a public key. Its id is the thumbprint (RFC 7638), which both halves of a key share.
    fn from_public_jwk(jwk: &Jwk) -> Option<Self> {
        let kid = jwk.thumbprint(ThumbprintHash::SHA256).ok()?;
        let decoding = DecodingKey::from_jwk(jwk).ok()?;
        let is_strong = match &jwk.algorithm {
            AlgorithmParameters::RSA(_) => is_long_enough(&decoding),
            AlgorithmParameters::EllipticCurve(key) => key.curve == EllipticCurve::P256,
            AlgorithmParameters::OctetKeyPair(_) => true,
            _ => false,
        };
        is_strong.then_some(Self { kid, decoding })
    }
}

fn is_long_enough(key: &DecodingKey) -> bool {
    let DecodingKeyKind::RsaModulusExponent { n, .. } = key.kind() else {
        return false;
    };
    let unused = n.first().map_or(0, |byte| byte.leading_zeros());
    let bits = n.len() * 8 - unused as usize;
    RSA_BITS.contains(&bits)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{
        Algorithm::{ES256, EdDSA, HS256, HS384, HS512, RS256},
        *,
    };

    macro_rules! pem {
        ($name:literal) => {
            include_str!(concat!("../../../tests/keys/", $name, ".pem"))
        };
    }

    /// An algorithm, its current key, its previous key, and the verifying half of the latter.
    const ROTATIONS: [(Algorithm, &str, &str, &str); 6] = [
        (HS256, "new", "old", "old"),
        (HS384, "new", "old", "old"),
        (HS512, "new", "old", "old"),
        (
            RS256,
            pem!("rsa_new"),
            pem!("rsa_old"),
            pem!("rsa_old_public"),
        ),
        (ES256, pem!("ec_new"), pem!("ec_old"), pem!("ec_old_public")),
        (EdDSA, pem!("ed_new"), pem!("ed_old"), pem!("ed_old_public")),
    ];

    /// Keys of each kind, keys that are not accepted, and texts that are no keys.
    const TEXTS: [&str; 14] = [
        pem!("rsa_old"),
        pem!("rsa_old_public"),
        pem!("ec_old"),
        pem!("ec_old_public"),
        pem!("ed_old"),
        pem!("ed_old_public"),
        pem!("rsa_1024"),
        pem!("rsa_2040"),
        pem!("rsa_2040_public"),
        pem!("ec_p384"),
        pem!("ec_p384_public"),
        "",
        "secret",
        "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
    ];

    fn keys(
        algorithm: Algorithm,
        key: &str,
        previous: Option<&str>,
    ) -> Result<SigningKeys, SigningKeyError> {
        let previous = previous.map(SecretString::from);
        SigningKeys::new(algorithm, &key.into(), previous.as_ref())
    }

    fn token_of(keys: &SigningKeys) -> String {
        jsonwebtoken::encode(&keys.header(), &json!({}), keys.encoding()).unwrap()
    }

    fn accepts(keys: &SigningKeys, token: &str) -> bool {
        let mut validation = keys.validation();
        validation.set_required_spec_claims::<&str>(&[]);
        validation.validate_exp = false;
        let header = jsonwebtoken::decode_header(token).unwrap();
        keys.decoding(&header)
            .is_some_and(|key| jsonwebtoken::decode::<Value>(token, key, &validation).is_ok())
    }

    #[test]
    fn previous_key_verifies_but_does_not_sign() {
        for (algorithm, new, old, old_public) in ROTATIONS {
            let before = keys(algorithm, old, None).unwrap();
            let during = keys(algorithm, new, Some(old_public)).unwrap();
            let after = keys(algorithm, new, None).unwrap();

            let old_token = token_of(&before);
            assert!(accepts(&before, &old_token), "{algorithm:?}");
            assert!(accepts(&during, &old_token), "{algorithm:?}");
            assert!(!accepts(&after, &old_token), "{algorithm:?}");

            let new_token = token_of(&during);
            assert!(accepts(&during, &new_token), "{algorithm:?}");
            assert!(accepts(&after, &new_token), "{algorithm:?}");
            assert!(!accepts(&before, &new_token), "{algorithm:?}");
        }
    }

    #[test]
    fn requires_a_known_key_id() {
        for (algorithm, new, _, _) in ROTATIONS {
            let keys = keys(algorithm, new, None).unwrap();
            let header_with = |kid: Option<&str>| Header {
                kid: kid.map(str::to_owned),
                ..keys.header()
            };
            assert!(keys.decoding(&keys.header()).is_some(), "{algorithm:?}");
            for kid in [None, Some(""), Some("other")] {
                assert!(keys.decoding(&header_with(kid)).is_none(), "{algorithm:?}");
            }
            let critical = Header {
                crit: Some(vec!["exp".to_owned()]),
                ..keys.header()
            };
            assert!(keys.decoding(&critical).is_none(), "{algorithm:?}");
        }
    }

    #[test]
    fn key_ids_are_distinct_and_do_not_reveal_secrets() {
        let kid = |algorithm, key| keys(algorithm, key, None).unwrap().kid;
        let mut names: Vec<String> = ROTATIONS
            .iter()
            .flat_map(|(algorithm, new, old, _)| [kid(*algorithm, new), kid(*algorithm, old)])
            .collect();
        names.sort();
        names.dedup();
        // The three HMAC algorithms share their two secrets.
        assert_eq!(names.len(), 8, "{names:?}");
        assert_eq!(kid(HS256, "new").len(), 22);
        let pkcs1 = kid(RS256, pem!("rsa_new_pkcs1"));
        assert_eq!(kid(RS256, pem!("rsa_new")), pkcs1);
    }

    #[test]
    fn rejects_other_kinds_of_keys_without_quoting_them() {
        for (algorithm, _, own, _) in &ROTATIONS[3..] {
            for pem in TEXTS.iter().filter(|pem| *pem != own) {
                let error = keys(*algorithm, pem, None).err().unwrap();
                let expected = signing_key(*algorithm);
                assert_eq!(error, SigningKeyError::Current(expected), "{pem}");
                assert_eq!(error.to_string(), format!("expected {expected}"));
            }
        }
        for algorithm in [HS256, HS512] {
            let error = keys(algorithm, "", None).err().unwrap();
            assert!(matches!(error, SigningKeyError::Current(_)), "{error:?}");
        }
    }

    #[test]
    fn previous_key_must_be_a_public_key_of_the_same_kind() {
        for (algorithm, key, _, own) in &ROTATIONS[3..] {
            for pem in TEXTS {
                let error = keys(*algorithm, key, Some(pem)).err();
                let expected = verifying_key(*algorithm);
                let refused = (pem != *own).then_some(SigningKeyError::Previous(expected));
                assert_eq!(error, refused, "{pem}");
            }
        }
        let error = keys(HS256, "new", Some("")).err();
        assert!(matches!(error, Some(SigningKeyError::Previous(_))));
    }
}
