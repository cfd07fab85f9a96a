use std::ops::RangeInclusive;

use jsonwebtoken::{
    Algorithm, DecodingKey, DecodingKeyKind, EncodingKey, Header, Validation,
    crypto::sign,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, ThumbprintHash},
};
use secrecy::{ExposeSecret, SecretString};
use thiserror::Error;

use super::username_digest::UsernameDigest;

/// What the name of a secret is made from. It has a space, so no token is ever signed over it.
const KID_LABEL: &[u8] = b"sovd-command key id";

/// Characters of the name of a secret, 6 bits each.
const SECRET_KID_LENGTH: usize = 22;

/// Bits of the modulus of an RSA key that is taken.
const RSA_BITS: RangeInclusive<usize> = 2048..=8192;

/// The key that signs access tokens, and the keys whose tokens are accepted.
pub struct SigningKeys {
    algorithm: Algorithm,
    kid: String,
    encoding: EncodingKey,
    accepted: Vec<AcceptedKey>,
    username_digest: UsernameDigest,
}

/// A key whose tokens are accepted.
struct AcceptedKey {
    kid: String,
    decoding: DecodingKey,
}

/// How access tokens are signed (RFC 7518, RFC 8037).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignatureAlgorithm {
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
    EdDsa,
}

/// A key is not what the algorithm takes. The text says what it does take, and nothing of the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SigningKeyError {
    /// It is the key that signs.
    #[error("expected {0}")]
    Current(&'static str),
    /// It is the key that signed before.
    #[error("expected {0}")]
    Previous(&'static str),
}

impl SigningKeys {
    /// Keys for tokens of one algorithm. With an HMAC `key` and `previous` are secrets; otherwise
    /// `key` is the PEM of a private key and `previous` that of a public one. `previous` only checks.
    ///
    /// # Errors
    ///
    /// When a key is none that the algorithm takes.
    pub fn new(
        algorithm: SignatureAlgorithm,
        key: &SecretString,
        previous: Option<&SecretString>,
    ) -> Result<Self, SigningKeyError> {
        let family = Family::of(algorithm);
        let algorithm = algorithm.of_library();
        let (encoding, current) = family
            .current(key.expose_secret(), algorithm)
            .ok_or(SigningKeyError::Current(family.expected_to_sign()))?;
        let username_digest = UsernameDigest::derived_from(key.expose_secret())
            .ok_or(SigningKeyError::Current(family.expected_to_sign()))?;
        let previous = previous.map(|previous| {
            family
                .previous(previous.expose_secret(), algorithm)
                .ok_or(SigningKeyError::Previous(family.expected_to_check()))
        });
        Ok(Self {
            algorithm,
            kid: current.kid.clone(),
            encoding,
            accepted: [Some(current), previous.transpose()?]
                .into_iter()
                .flatten()
                .collect(),
            username_digest,
        })
    }

    /// Returns the digest of user names whose key is derived from the key that signs.
    pub(super) fn username_digest(&self) -> UsernameDigest {
        self.username_digest.clone()
    }

    /// The header of a token that this key signs.
    pub(super) fn header(&self) -> Header {
        Header {
            kid: Some(self.kid.clone()),
            ..Header::new(self.algorithm)
        }
    }

    pub(super) fn encoding(&self) -> &EncodingKey {
        &self.encoding
    }

    /// The key that the header of a token names. A token without a name is nobody's, and so is one
    /// that wants to be understood in ways (RFC 7515, section 4.1.11) that are not ours.
    pub(super) fn decoding(&self, header: &Header) -> Option<&DecodingKey> {
        let kid = header.kid.as_ref()?;
        let named = self.accepted.iter().find(|key| key.kid == *kid)?;
        header.crit.is_none().then_some(&named.decoding)
    }

    /// Checks that accept this algorithm and no other, whatever the token says.
    pub(super) fn validation(&self) -> Validation {
        Validation::new(self.algorithm)
    }
}

impl SignatureAlgorithm {
    fn of_library(self) -> Algorithm {
        match self {
            Self::Hs256 => Algorithm::HS256,
            Self::Hs384 => Algorithm::HS384,
            Self::Hs512 => Algorithm::HS512,
            Self::Rs256 => Algorithm::RS256,
            Self::Es256 => Algorithm::ES256,
            Self::EdDsa => Algorithm::EdDSA,
        }
    }
}

/// Algorithms that take the same keys.
#[derive(Clone, Copy)]
enum Family {
    Hmac,
    Rsa,
    Ec,
    Ed,
}

impl Family {
    fn of(algorithm: SignatureAlgorithm) -> Self {
        match algorithm {
            SignatureAlgorithm::Hs256 | SignatureAlgorithm::Hs384 | SignatureAlgorithm::Hs512 => {
                Self::Hmac
            }
            SignatureAlgorithm::Rs256 => Self::Rsa,
            SignatureAlgorithm::Es256 => Self::Ec,
            SignatureAlgorithm::EdDsa => Self::Ed,
        }
    }

    fn expected_to_sign(self) -> &'static str {
        match self {
            Self::Hmac => "a secret that is not empty",
            Self::Rsa => "an RSA private key of 2048 to 8192 bits as PEM (PKCS#8 or PKCS#1)",
            Self::Ec => "a P-256 private key as PEM (PKCS#8)",
            Self::Ed => "an Ed25519 private key as PEM (PKCS#8)",
        }
    }

    fn expected_to_check(self) -> &'static str {
        match self {
            Self::Hmac => "a secret that is not empty",
            Self::Rsa => "an RSA public key of 2048 to 8192 bits as PEM",
            Self::Ec => "a P-256 public key as PEM",
            Self::Ed => "an Ed25519 public key as PEM",
        }
    }

    /// What signs, and what checks it. The public half is derived, so the two cannot disagree.
    fn current(self, text: &str, algorithm: Algorithm) -> Option<(EncodingKey, AcceptedKey)> {
        let pem = text.as_bytes();
        let encoding = match self {
            Self::Hmac => EncodingKey::from_secret(pem),
            Self::Rsa => EncodingKey::from_rsa_pem(pem).ok()?,
            Self::Ec => EncodingKey::from_ec_pem(pem).ok()?,
            Self::Ed => EncodingKey::from_ed_pem(pem).ok()?,
        };
        let accepted = match self {
            Self::Hmac => AcceptedKey::of_secret(text)?,
            Self::Rsa | Self::Ec | Self::Ed => {
                AcceptedKey::of_public(&Jwk::from_encoding_key(&encoding, algorithm).ok()?)?
            }
        };
        Some((encoding, accepted))
    }

    fn previous(self, text: &str, algorithm: Algorithm) -> Option<AcceptedKey> {
        let pem = text.as_bytes();
        let decoding = match self {
            Self::Hmac => return AcceptedKey::of_secret(text),
            Self::Rsa => DecodingKey::from_rsa_pem(pem),
            Self::Ec => DecodingKey::from_ec_pem(pem),
            Self::Ed => DecodingKey::from_ed_pem(pem),
        };
        AcceptedKey::of_public(&Jwk::from_decoding_key(&decoding.ok()?, Some(algorithm)).ok()?)
    }
}

impl AcceptedKey {
    /// A secret. Its name is an HMAC, so it tells nothing of it.
    fn of_secret(secret: &str) -> Option<Self> {
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

    /// A public key. Its name is its thumbprint (RFC 7638), so it is the same whichever half it was
    /// made from.
    fn of_public(jwk: &Jwk) -> Option<Self> {
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

    use super::*;

    macro_rules! pem {
        ($name:literal) => {
            include_str!(concat!("../../../tests/keys/", $name, ".pem"))
        };
    }

    /// Each algorithm with a key, the key before it, and what checks the signatures of that one.
    const ROTATIONS: [(SignatureAlgorithm, &str, &str, &str); 6] = [
        (SignatureAlgorithm::Hs256, "new", "old", "old"),
        (SignatureAlgorithm::Hs384, "new", "old", "old"),
        (SignatureAlgorithm::Hs512, "new", "old", "old"),
        (
            SignatureAlgorithm::Rs256,
            pem!("rsa_new"),
            pem!("rsa_old"),
            pem!("rsa_old_public"),
        ),
        (
            SignatureAlgorithm::Es256,
            pem!("ec_new"),
            pem!("ec_old"),
            pem!("ec_old_public"),
        ),
        (
            SignatureAlgorithm::EdDsa,
            pem!("ed_new"),
            pem!("ed_old"),
            pem!("ed_old_public"),
        ),
    ];

    fn keys(
        algorithm: SignatureAlgorithm,
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
    fn a_previous_key_is_accepted_and_does_not_sign() {
        for (algorithm, new, old, old_check) in ROTATIONS {
            let before = keys(algorithm, old, None).unwrap();
            let during = keys(algorithm, new, Some(old_check)).unwrap();
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
    fn the_name_of_a_key_must_be_there_and_be_one_of_ours() {
        for (algorithm, new, _, _) in ROTATIONS {
            let keys = keys(algorithm, new, None).unwrap();
            let named = |kid: Option<&str>| Header {
                kid: kid.map(str::to_owned),
                ..keys.header()
            };
            assert!(keys.decoding(&keys.header()).is_some(), "{algorithm:?}");
            for kid in [None, Some(""), Some("other")] {
                assert!(keys.decoding(&named(kid)).is_none(), "{algorithm:?}");
            }
            let demanding = Header {
                crit: Some(vec!["exp".to_owned()]),
                ..keys.header()
            };
            assert!(keys.decoding(&demanding).is_none(), "{algorithm:?}");
        }
    }

    #[test]
    fn a_name_tells_keys_apart_and_nothing_of_a_secret() {
        let kid = |algorithm, key| keys(algorithm, key, None).unwrap().kid;
        let mut names: Vec<String> = ROTATIONS
            .iter()
            .flat_map(|(algorithm, new, old, _)| [kid(*algorithm, new), kid(*algorithm, old)])
            .collect();
        names.sort();
        names.dedup();
        // The three HMAC algorithms share their two secrets.
        assert_eq!(names.len(), 8, "{names:?}");
        assert_eq!(kid(SignatureAlgorithm::Hs256, "new").len(), 22);
        assert_eq!(
            kid(SignatureAlgorithm::Rs256, pem!("rsa_new")),
            kid(SignatureAlgorithm::Rs256, pem!("rsa_new_pkcs1"))
        );
    }

    #[test]
    fn another_kind_of_key_is_refused_without_being_quoted() {
        let pems = [
            pem!("rsa_new"),
            pem!("ec_new"),
            pem!("ed_new"),
            pem!("rsa_new_public"),
            pem!("ec_new_public"),
            pem!("ed_new_public"),
            pem!("rsa_1024"),
            pem!("rsa_2040"),
            pem!("ec_p384"),
            pem!("ec_p384_public"),
            "",
            "secret",
            "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
        ];
        let own = [
            (SignatureAlgorithm::Rs256, pem!("rsa_new")),
            (SignatureAlgorithm::Es256, pem!("ec_new")),
            (SignatureAlgorithm::EdDsa, pem!("ed_new")),
        ];
        for (algorithm, own) in own {
            for pem in pems.iter().filter(|pem| **pem != own) {
                let error = keys(algorithm, pem, None).err().unwrap();
                let expected = Family::of(algorithm).expected_to_sign();
                assert_eq!(error, SigningKeyError::Current(expected), "{pem}");
                assert_eq!(error.to_string(), format!("expected {expected}"));
            }
        }
        for algorithm in [SignatureAlgorithm::Hs256, SignatureAlgorithm::Hs512] {
            let error = keys(algorithm, "", None).err().unwrap();
            assert!(matches!(error, SigningKeyError::Current(_)), "{error:?}");
        }
    }

    #[test]
    fn a_previous_key_is_the_public_half_of_the_same_kind() {
        let pems = [
            pem!("rsa_old"),
            pem!("rsa_old_public"),
            pem!("rsa_2040_public"),
            pem!("ec_old"),
            pem!("ec_old_public"),
            pem!("ec_p384_public"),
            pem!("ed_old"),
            pem!("ed_old_public"),
            "",
            "secret",
        ];
        for (algorithm, key, _, own) in &ROTATIONS[3..] {
            for pem in pems {
                let error = keys(*algorithm, key, Some(pem)).err();
                let expected = Family::of(*algorithm).expected_to_check();
                let refused = (pem != *own).then_some(SigningKeyError::Previous(expected));
                assert_eq!(error, refused, "{pem}");
            }
        }
        let error = keys(SignatureAlgorithm::Hs256, "new", Some("")).err();
        assert!(matches!(error, Some(SigningKeyError::Previous(_))));
    }
}
