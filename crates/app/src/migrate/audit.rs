//! Verification and checkpoints of the audit trail.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use sovd_domain::{Clock, SystemClock};
use sovd_services::audit::{
    checkpoint::{CheckpointError, CheckpointSigner, CheckpointVerifier},
    verification::{self, VerificationOptions},
};
use sovd_storage::{Database, PoolSettings};
use thiserror::Error;

use super::Migrator;
use crate::error::StartError;

pub use sovd_services::audit::{
    checkpoint::Checkpoint,
    verification::{Break, Verification, VerificationIssue},
};

/// The error of verifying the audit trail or creating a checkpoint.
#[derive(Debug, Error)]
pub enum AuditError {
    /// The key is not set.
    #[error("{key} is not set; {variable} or {variable}_FILE sets it")]
    KeyMissing {
        /// The setting.
        key: &'static str,
        /// The environment variable of the setting.
        variable: String,
    },
    /// The key is invalid.
    #[error("{key} {source}")]
    Key {
        /// The setting.
        key: &'static str,
        /// The cause.
        source: CheckpointError,
    },
    /// The file of checkpoints cannot be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A line of the file was not signed with the key.
    #[error("{}: line {line} {source}", path.display())]
    Forged {
        /// The file.
        path: PathBuf,
        /// The line number, from 1.
        line: usize,
        /// The cause.
        source: CheckpointError,
    },
    /// The row with the head of the chain is missing.
    #[error("the chain head is missing from audit_chain_head")]
    HeadMissing,
    /// A database operation failed.
    #[error(transparent)]
    Database(#[from] StartError),
}

impl Migrator {
    /// Verifies the hash chain of the audit trail, and that it contains the checkpoints in a file. Entries
    /// younger than `audit.retention_days` must not have been pruned.
    ///
    /// # Errors
    ///
    /// [`AuditError::File`] or [`AuditError::Forged`] for the file, [`AuditError::KeyMissing`] or
    /// [`AuditError::Key`] for `audit.checkpoint_public_key`, and [`AuditError::Database`].
    pub async fn verify_audit(
        &self,
        checkpoints: Option<&Path>,
    ) -> Result<Verification, AuditError> {
        let checkpoints = checkpoints
            .map(|path| self.read_checkpoints(path))
            .transpose()?;
        let database = self.audit_database().await?;
        let options = VerificationOptions {
            now: SystemClock.now(),
            retention: self.audit.retention(),
            checkpoints: checkpoints.as_deref(),
        };
        let verified = verification::verify(&database, &options).await;
        Ok(self.with_url(verified)?)
    }

    /// Appends a signed checkpoint of the head of the hash chain to a file.
    ///
    /// # Errors
    ///
    /// [`AuditError::KeyMissing`] or [`AuditError::Key`] for `audit.checkpoint_private_key`,
    /// [`AuditError::HeadMissing`], [`AuditError::File`] and [`AuditError::Database`].
    pub async fn checkpoint_audit(&self, out: &Path) -> Result<Checkpoint, AuditError> {
        const KEY: &str = "audit.checkpoint_private_key";
        let pem = self.audit.checkpoint_private_key.as_ref();
        let signer = parse_key(KEY, pem, CheckpointSigner::new)?;
        let database = self.audit_database().await?;
        let taken = Checkpoint::take(&database, SystemClock.now()).await;
        let checkpoint = self.with_url(taken)?.ok_or(AuditError::HeadMissing)?;
        let line = signer.sign(&checkpoint);
        let line = line.map_err(|source| AuditError::Key { key: KEY, source })?;
        append(out, &line).map_err(|source| AuditError::File {
            path: out.to_owned(),
            source,
        })?;
        Ok(checkpoint)
    }

    fn read_checkpoints(&self, path: &Path) -> Result<Vec<Checkpoint>, AuditError> {
        let pem = self.audit.checkpoint_public_key.as_deref();
        let verifier = parse_key("audit.checkpoint_public_key", pem, CheckpointVerifier::new)?;
        let text = fs::read_to_string(path).map_err(|source| AuditError::File {
            path: path.to_owned(),
            source,
        })?;
        let lines = (1..).zip(text.lines().map(str::trim));
        let signed = lines.filter(|(_, line)| !line.is_empty());
        let read = signed.map(|(number, line)| {
            verifier.read(line).map_err(|source| AuditError::Forged {
                path: path.to_owned(),
                line: number,
                source,
            })
        });
        read.collect()
    }

    async fn audit_database(&self) -> Result<Database, StartError> {
        self.refuse_pending().await?;
        let one = PoolSettings {
            size: 1,
            overflow: 0,
            checkout_timeout: Duration::from_secs(10),
            // Verifying a long audit trail takes minutes, and no request waits for it.
            statement_timeout: Duration::from_mins(10),
        };
        Ok(Database::new(self.url(), one))
    }
}

/// Parses the PEM of the setting `key`.
fn parse_key<P: ?Sized, K>(
    key: &'static str,
    pem: Option<&P>,
    parse: impl FnOnce(&P) -> Result<K, CheckpointError>,
) -> Result<K, AuditError> {
    let pem = pem.ok_or_else(|| AuditError::KeyMissing {
        key,
        variable: format!("SOVD__{}", key.replace('.', "__").to_uppercase()),
    })?;
    parse(pem).map_err(|source| AuditError::Key { key, source })
}

/// Appends a line and waits until it is on the disk.
fn append(path: &Path, line: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().create(true).append(true).open(path)?;
    writeln!(file, "{line}")?;
    file.sync_all()
}
