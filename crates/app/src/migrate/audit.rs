//! Checking the audit trail, and keeping checkpoints of it.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use sovd_domain::{Clock, SystemClock};
use sovd_services::audit::{
    checkpoint::{CheckpointError, CheckpointSigner, CheckpointVerifier},
    verification::{self, Terms},
};
use sovd_storage::{Database, PoolSettings};
use thiserror::Error;

use super::Migrator;
use crate::{build::refuse_pending, error::StartError};

pub use sovd_services::audit::{
    checkpoint::Checkpoint,
    verification::{Break, Doubt, Verification},
};

/// Why the audit trail cannot be checked, or no checkpoint made.
#[derive(Debug, Error)]
pub enum AuditError {
    /// The key is not set.
    #[error("{key} is not set; {variable} or {variable}_FILE sets it")]
    KeyMissing {
        /// The setting.
        key: &'static str,
        /// The variable that reaches it.
        variable: &'static str,
    },
    /// The key is none.
    #[error("{key} {source}")]
    Key {
        /// The setting.
        key: &'static str,
        /// What is wrong with it.
        source: CheckpointError,
    },
    /// The file of checkpoints cannot be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A line of the file was not signed with the key.
    #[error("{}: line {line} {source}", path.display())]
    Forged {
        /// The file.
        path: PathBuf,
        /// Which line, from 1 on.
        line: usize,
        /// What is wrong with it.
        source: CheckpointError,
    },
    /// The table with the end of the chain is empty.
    #[error("the end of the chain of audit lines is not recorded any more")]
    NoEnd,
    /// The database did not answer.
    #[error(transparent)]
    Database(#[from] StartError),
}

impl Migrator {
    /// Checks the chain of the audit trail, and that it goes through the checkpoints in a file. Lines
    /// that are younger than `audit.retention_days` may not have been cut off.
    ///
    /// # Errors
    ///
    /// When the database is away or not migrated, the file cannot be read, or one of its lines was
    /// not signed with the key of `audit.checkpoint_public_key`.
    pub async fn verify_audit(
        &self,
        checkpoints: Option<&Path>,
    ) -> Result<Verification, AuditError> {
        let checkpoints = checkpoints
            .map(|path| self.read_checkpoints(path))
            .transpose()?;
        let database = self.audit_database().await?;
        let terms = Terms {
            now: SystemClock.now(),
            retention: self.audit_retention,
            checkpoints: checkpoints.as_deref(),
        };
        let verified = verification::verify(&database, &terms).await;
        Ok(self.told(verified)?)
    }

    /// Appends a signed line to a file that says where the chain of the audit trail ends now.
    ///
    /// # Errors
    ///
    /// When `audit.checkpoint_private_key` is missing or no key, the database is away or not
    /// migrated, or the file cannot be written.
    pub async fn checkpoint_audit(&self, out: &Path) -> Result<Checkpoint, AuditError> {
        const KEY: &str = "audit.checkpoint_private_key";
        let pem = self
            .checkpoint_private_key
            .as_ref()
            .ok_or(AuditError::KeyMissing {
                key: KEY,
                variable: "SOVD__AUDIT__CHECKPOINT_PRIVATE_KEY",
            })?;
        let unfit = |source| AuditError::Key { key: KEY, source };
        let signer = CheckpointSigner::new(pem).map_err(unfit)?;
        let database = self.audit_database().await?;
        let taken = Checkpoint::take(&database, SystemClock.now()).await;
        let checkpoint = self.told(taken)?.ok_or(AuditError::NoEnd)?;
        let line = signer.sign(&checkpoint).map_err(unfit)?;
        append(out, &line).map_err(|source| AuditError::File {
            path: out.to_owned(),
            source,
        })?;
        Ok(checkpoint)
    }

    fn read_checkpoints(&self, path: &Path) -> Result<Vec<Checkpoint>, AuditError> {
        const KEY: &str = "audit.checkpoint_public_key";
        let pem = self
            .checkpoint_public_key
            .as_ref()
            .ok_or(AuditError::KeyMissing {
                key: KEY,
                variable: "SOVD__AUDIT__CHECKPOINT_PUBLIC_KEY",
            })?;
        let verifier =
            CheckpointVerifier::new(pem).map_err(|source| AuditError::Key { key: KEY, source })?;
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
        refuse_pending(self.status().await?)?;
        let one = PoolSettings {
            size: 1,
            overflow: 0,
            checkout_timeout: Duration::from_secs(10),
            // A long trail takes its time, and no request waits for it.
            statement_timeout: Duration::from_mins(10),
        };
        Ok(Database::new(&self.url, one))
    }
}

/// The line is on the disk when this returns.
fn append(path: &Path, line: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().create(true).append(true).open(path)?;
    writeln!(file, "{line}")?;
    file.sync_all()
}
