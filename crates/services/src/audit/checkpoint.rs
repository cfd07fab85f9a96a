//! Checkpoints: signed records of the head of the chain, to be kept outside of the database.

use chrono::{
    DateTime, Utc,
    serde::{ts_seconds, ts_seconds_option},
};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use sovd_domain::audit::Link;
use sovd_storage::{Database, StorageError, audit::chain};
use thiserror::Error;

/// The JWS type that distinguishes a checkpoint from other signed tokens.
const TYPE: &str = "sovd-audit-checkpoint+jwt";

/// The head of the chain at a point in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checkpoint {
    /// The head.
    pub link: Link,
    /// The latest timestamp of the entries up to the head, in whole seconds once signed; `None` if there are
    /// none. This need not be the last entry: a role that inserts an entry chooses its timestamp, and could
    /// make the entries before it appear old enough to be pruned.
    pub latest_entry_at: Option<DateTime<Utc>>,
    /// The time at which the checkpoint was taken, in whole seconds once signed.
    pub taken_at: DateTime<Utc>,
}

/// The error of signing or reading a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum CheckpointError {
    /// The key is not an Ed25519 private key.
    #[error("is not an Ed25519 private key in PEM (PKCS #8)")]
    PrivateKey,
    /// The key is not an Ed25519 public key.
    #[error("is not an Ed25519 public key in PEM")]
    PublicKey,
    /// The text is not a checkpoint signed by this key.
    #[error("is not a checkpoint that this key has signed")]
    NotSigned,
}

/// Signs checkpoints with Ed25519.
pub struct CheckpointSigner(EncodingKey);

/// Verifies the signatures of checkpoints.
pub struct CheckpointVerifier(DecodingKey);

#[derive(Serialize, Deserialize)]
struct Claims {
    position: i64,
    hash: String,
    // Existing checkpoints contain this name.
    #[serde(
        rename = "line_at",
        default,
        skip_serializing_if = "Option::is_none",
        with = "ts_seconds_option"
    )]
    latest_entry_at: Option<DateTime<Utc>>,
    #[serde(with = "ts_seconds")]
    iat: DateTime<Utc>,
}

impl Checkpoint {
    /// Takes a checkpoint of the chain, or returns `None` if its head is not recorded.
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
            latest_entry_at: chain::latest_timestamp_up_to(&mut connection, link.position).await?,
            taken_at: now,
        }))
    }
}

impl CheckpointSigner {
    /// Creates a signer from an Ed25519 private key in PEM (PKCS #8), such as
    /// `openssl genpkey -algorithm ed25519` generates.
    pub fn new(pem: &SecretString) -> Result<Self, CheckpointError> {
        EncodingKey::from_ed_pem(pem.expose_secret().as_bytes())
            .map(Self)
            .map_err(|_| CheckpointError::PrivateKey)
    }

    /// Returns the checkpoint as a JWS in compact serialization (RFC 7515), on one line.
    pub fn sign(&self, checkpoint: &Checkpoint) -> Result<String, CheckpointError> {
        let header = Header {
            typ: Some(TYPE.to_owned()),
            ..Header::new(Algorithm::EdDSA)
        };
        let claims = Claims {
            position: checkpoint.link.position,
            hash: checkpoint.link.hash.to_string(),
            latest_entry_at: checkpoint.latest_entry_at,
            iat: checkpoint.taken_at,
        };
        jsonwebtoken::encode(&header, &claims, &self.0).map_err(|_| CheckpointError::PrivateKey)
    }
}

impl CheckpointVerifier {
    /// Creates a verifier from an Ed25519 public key in PEM, such as `openssl pkey -pubout` prints.
    pub fn new(pem: &str) -> Result<Self, CheckpointError> {
        DecodingKey::from_ed_pem(pem.as_bytes())
            .map(Self)
            .map_err(|_| CheckpointError::PublicKey)
    }

    /// Reads a checkpoint signed with the private key.
    pub fn read(&self, line: &str) -> Result<Checkpoint, CheckpointError> {
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.required_spec_claims.clear();
        // Checkpoints do not expire.
        validation.validate_exp = false;
        let signed = jsonwebtoken::decode::<Claims>(line, &self.0, &validation)
            .map_err(|_| CheckpointError::NotSigned)?;
        if signed.header.typ.as_deref() != Some(TYPE) {
            return Err(CheckpointError::NotSigned);
        }
        let Claims {
            position,
            hash,
            latest_entry_at,
            iat: taken_at,
        } = signed.claims;
        let hash = hash.parse().map_err(|_| CheckpointError::NotSigned)?;
        Ok(Checkpoint {
            link: Link { position, hash },
            latest_entry_at,
            taken_at,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use sovd_domain::audit::ChainHash;

    use super::*;

    const PRIVATE: &str = include_str!("../../tests/keys/ed_new.pem");
    const PUBLIC: &str = include_str!("../../tests/keys/ed_new_public.pem");
    const ANOTHER: &str = include_str!("../../tests/keys/ed_old.pem");

    fn signer(pem: &str) -> CheckpointSigner {
        CheckpointSigner::new(&pem.into()).unwrap()
    }

    fn checkpoint() -> Checkpoint {
        Checkpoint {
            link: Link {
                position: 7,
                hash: ChainHash([0xab; 32]),
            },
            latest_entry_at: Some("2026-01-02T03:04:04Z".parse().unwrap()),
            taken_at: "2026-01-02T03:04:05Z".parse().unwrap(),
        }
    }

    #[test]
    fn reads_its_own_signature() {
        let line = signer(PRIVATE).sign(&checkpoint()).unwrap();
        assert!(!line.contains('\n'), "{line}");
        let verifier = CheckpointVerifier::new(PUBLIC).unwrap();
        assert_eq!(verifier.read(&line), Ok(checkpoint()));
    }

    #[test]
    fn keeps_the_names_of_the_signed_claims() {
        let line = signer(PRIVATE).sign(&checkpoint()).unwrap();
        let key = DecodingKey::from_ed_pem(PUBLIC.as_bytes()).unwrap();
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.required_spec_claims.clear();
        let claims = jsonwebtoken::decode::<Value>(&line, &key, &validation).unwrap();
        let expected = json!({
            "position": 7, "hash": "ab".repeat(32), "line_at": 1_767_323_044, "iat": 1_767_323_045,
        });
        assert_eq!(claims.claims, expected);
    }

    #[test]
    fn rejects_other_keys_and_changed_checkpoints() {
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
            let read = verifier.read(line);
            assert_eq!(read, Err(CheckpointError::NotSigned), "{line}");
        }
    }

    #[test]
    fn rejects_tokens_of_other_types() {
        let claims = Claims {
            position: 7,
            hash: checkpoint().link.hash.to_string(),
            latest_entry_at: None,
            iat: DateTime::UNIX_EPOCH,
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
    fn rejects_invalid_keys() {
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
