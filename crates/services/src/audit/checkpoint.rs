//! Checkpoints: what the chain was at a moment, signed, for keeping elsewhere.

use chrono::{DateTime, Utc};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use sovd_domain::audit::Link;
use sovd_storage::{Database, StorageError, audit::chain};
use thiserror::Error;

/// Tells a checkpoint from every other signed thing.
const TYPE: &str = "sovd-audit-checkpoint+jwt";

/// Where the chain ended at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checkpoint {
    /// The end.
    pub link: Link,
    /// The latest time of the lines up to there, in whole seconds once it was signed; `None` if there were
    /// none. Not the time of the last line: the inserter of a line chooses its time, and could make the
    /// lines before it look old enough to be cut off.
    pub line_at: Option<DateTime<Utc>>,
    /// When it was looked at, in whole seconds.
    pub taken_at: DateTime<Utc>,
}

/// Why a checkpoint cannot be made or read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum CheckpointError {
    /// The key is not an Ed25519 private key.
    #[error("is not an Ed25519 private key in PEM (PKCS #8)")]
    PrivateKey,
    /// The key is not an Ed25519 public key.
    #[error("is not an Ed25519 public key in PEM")]
    PublicKey,
    /// The text was not signed by this key, or is not a checkpoint.
    #[error("is not a checkpoint that this key has signed")]
    NotSigned,
}

/// Signs checkpoints with Ed25519.
pub struct CheckpointSigner(EncodingKey);

/// Checks their signatures.
pub struct CheckpointVerifier(DecodingKey);

#[derive(Serialize, Deserialize)]
struct Claims {
    position: i64,
    hash: String,
    /// Seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    line_at: Option<i64>,
    /// Seconds since 1970.
    iat: i64,
}

impl Checkpoint {
    /// What the chain is now. Nothing when its end is not recorded any more.
    ///
    /// # Errors
    ///
    /// When the database is away.
    pub async fn take(
        database: &Database,
        now: DateTime<Utc>,
    ) -> Result<Option<Self>, StorageError> {
        let mut connection = database.connection().await?;
        let Some(link) = chain::head(&mut connection).await? else {
            return Ok(None);
        };
        Ok(Some(Self {
            link,
            line_at: chain::latest_timestamp_up_to(&mut connection, link.position).await?,
            taken_at: now,
        }))
    }
}

impl CheckpointSigner {
    /// Takes an Ed25519 private key in PEM (PKCS #8), as `openssl genpkey -algorithm ed25519` makes it.
    ///
    /// # Errors
    ///
    /// [`CheckpointError::PrivateKey`].
    pub fn new(pem: &SecretString) -> Result<Self, CheckpointError> {
        EncodingKey::from_ed_pem(pem.expose_secret().as_bytes())
            .map(Self)
            .map_err(|_| CheckpointError::PrivateKey)
    }

    /// The checkpoint as one line: a JWS in its compact form (RFC 7515).
    ///
    /// # Errors
    ///
    /// [`CheckpointError::PrivateKey`] when the key turns out not to be one.
    pub fn sign(&self, checkpoint: &Checkpoint) -> Result<String, CheckpointError> {
        let header = Header {
            typ: Some(TYPE.to_owned()),
            ..Header::new(Algorithm::EdDSA)
        };
        let claims = Claims {
            position: checkpoint.link.position,
            hash: checkpoint.link.hash.to_string(),
            line_at: checkpoint.line_at.map(|moment| moment.timestamp()),
            iat: checkpoint.taken_at.timestamp(),
        };
        jsonwebtoken::encode(&header, &claims, &self.0).map_err(|_| CheckpointError::PrivateKey)
    }
}

impl CheckpointVerifier {
    /// Takes an Ed25519 public key in PEM, as `openssl pkey -pubout` gives it.
    ///
    /// # Errors
    ///
    /// [`CheckpointError::PublicKey`].
    pub fn new(pem: &str) -> Result<Self, CheckpointError> {
        DecodingKey::from_ed_pem(pem.as_bytes())
            .map(Self)
            .map_err(|_| CheckpointError::PublicKey)
    }

    /// Reads a line that the private key has signed.
    ///
    /// # Errors
    ///
    /// [`CheckpointError::NotSigned`].
    pub fn read(&self, line: &str) -> Result<Checkpoint, CheckpointError> {
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.required_spec_claims.clear();
        // It does not end.
        validation.validate_exp = false;
        let signed = jsonwebtoken::decode::<Claims>(line, &self.0, &validation)
            .map_err(|_| CheckpointError::NotSigned)?;
        let Claims {
            position,
            hash,
            line_at,
            iat,
        } = signed.claims;
        let is_ours = signed.header.typ.as_deref() == Some(TYPE);
        hash.parse()
            .ok()
            .zip(DateTime::from_timestamp(iat, 0))
            .filter(|_| is_ours)
            .map(|(hash, taken_at)| Checkpoint {
                link: Link { position, hash },
                line_at: line_at.and_then(|seconds| DateTime::from_timestamp(seconds, 0)),
                taken_at,
            })
            .ok_or(CheckpointError::NotSigned)
    }
}

#[cfg(test)]
mod tests {
    use sovd_domain::audit::ChainHash;

    use super::*;

    // From `openssl genpkey -algorithm ed25519`; they sign nothing but these tests.
    const PRIVATE: &str = "-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEICj1npHVeu3SUboLcBvrMDzf/i3GX9+gcQM7D/9Tb4Ti
-----END PRIVATE KEY-----";
    const PUBLIC: &str = "-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEAGytcBcsxK1w3RR2hjGnHg5cq8BzThnicwXgoG7HwtRc=
-----END PUBLIC KEY-----";
    const ANOTHER: &str = "-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIE7zkFFe1kXuzeumsD92oQr4/fMdOQgEyvOW0JvYYZGG
-----END PRIVATE KEY-----";

    fn signer(pem: &str) -> CheckpointSigner {
        CheckpointSigner::new(&pem.into()).unwrap()
    }

    fn checkpoint() -> Checkpoint {
        Checkpoint {
            link: Link {
                position: 7,
                hash: ChainHash([0xab; 32]),
            },
            line_at: Some("2026-01-02T03:04:04Z".parse().unwrap()),
            taken_at: "2026-01-02T03:04:05Z".parse().unwrap(),
        }
    }

    #[test]
    fn what_was_signed_is_read_again() {
        let line = signer(PRIVATE).sign(&checkpoint()).unwrap();
        assert!(!line.contains('\n'), "{line}");
        let verifier = CheckpointVerifier::new(PUBLIC).unwrap();
        assert_eq!(verifier.read(&line), Ok(checkpoint()));
    }

    #[test]
    fn what_another_key_signed_or_somebody_changed_is_refused() {
        let verifier = CheckpointVerifier::new(PUBLIC).unwrap();
        let forged = signer(ANOTHER).sign(&checkpoint()).unwrap();
        let signed = signer(PRIVATE).sign(&checkpoint()).unwrap();
        let (_, rest) = signed.split_once('.').unwrap();
        let (_, signature) = rest.split_once('.').unwrap();
        let (other, _) = forged.rsplit_once('.').unwrap();
        assert!(verifier.read(&format!("{other}.{signature}")).is_ok());
        let moved = Checkpoint {
            link: Link {
                position: 8,
                ..checkpoint().link
            },
            ..checkpoint()
        };
        let other = signer(ANOTHER).sign(&moved).unwrap();
        let (other, _) = other.rsplit_once('.').unwrap();
        for line in [&forged, &format!("{other}.{signature}"), "", "a.b.c"] {
            assert_eq!(
                verifier.read(line),
                Err(CheckpointError::NotSigned),
                "{line}"
            );
        }
    }

    #[test]
    fn another_kind_of_token_is_refused() {
        let claims = Claims {
            position: 7,
            hash: checkpoint().link.hash.to_string(),
            line_at: None,
            iat: 0,
        };
        let verifier = CheckpointVerifier::new(PUBLIC).unwrap();
        for (typ, expected) in [(TYPE, true), ("JWT", false)] {
            let header = Header {
                typ: Some(typ.to_owned()),
                ..Header::new(Algorithm::EdDSA)
            };
            let line = jsonwebtoken::encode(&header, &claims, &signer(PRIVATE).0).unwrap();
            assert_eq!(verifier.read(&line).is_ok(), expected, "{typ}");
        }
    }

    #[test]
    fn what_is_no_key_is_refused() {
        for pem in ["", "key", PUBLIC] {
            let made = CheckpointSigner::new(&pem.into());
            assert_eq!(made.err(), Some(CheckpointError::PrivateKey), "{pem}");
        }
        for pem in ["", "key", PRIVATE] {
            let made = CheckpointVerifier::new(pem);
            assert_eq!(made.err(), Some(CheckpointError::PublicKey), "{pem}");
        }
    }
}
