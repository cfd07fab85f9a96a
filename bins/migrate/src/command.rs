use std::{error::Error, path::PathBuf, process::ExitCode};

use clap::Subcommand;
use sovd_app::migrate::{Migrator, Steps};

use crate::output;

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Apply the pending migrations.
    Up,
    /// Revert the latest migrations. Deletes the data in the tables and columns that they added.
    Down {
        /// The number of migrations to revert.
        #[arg(long, default_value_t = 1, conflicts_with = "all")]
        steps: usize,
        /// Revert all migrations.
        #[arg(long)]
        all: bool,
    },
    /// Revert the latest migration and apply it again.
    Redo,
    /// List all migrations and whether they are applied.
    Status,
    /// Insert users and vehicles for development. Their passwords are public.
    Seed {
        /// Insert them even in production.
        #[arg(long)]
        force: bool,
    },
    /// Compare the schema with the one that the migrations define; fails if they differ.
    Verify,
    /// Verify the sealed entries of the audit trail; fails if one was changed, deleted or inserted.
    ///
    /// Also fails if the oldest entries were deleted other than by pruning, or if an entry has been
    /// unsealed for more than 5 minutes. It cannot tell who wrote an entry: one that was inserted by
    /// hand before sealing, with any actor and time, is sealed like any other.
    VerifyAudit {
        /// A file of checkpoints to compare the audit trail with; fails if none can be compared, or if
        /// an entry younger than `audit.retention_days` was pruned.
        #[arg(long, value_name = "FILE")]
        checkpoints: Option<PathBuf>,
    },
    /// Sign the current end of the audit trail. Keep the checkpoint outside the database.
    AuditCheckpoint {
        /// The file to append the checkpoint to.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
}

impl Command {
    /// Runs the command and prints its result.
    pub(crate) async fn run(self, migrator: &Migrator) -> Result<ExitCode, Box<dyn Error>> {
        match self {
            Self::Up => output::print_names("applied", &migrator.up().await?)?,
            Self::Down { steps, all } => {
                let steps = if all { Steps::All } else { Steps::Count(steps) };
                output::print_names("reverted", &migrator.down(steps).await?)?;
            }
            Self::Redo => output::print_names("redone", migrator.redo().await?.as_slice())?,
            Self::Status => output::print_states(&migrator.status().await?)?,
            Self::Seed { force } => {
                migrator.seed(force).await?;
                output::print("the seeds are inserted")?;
            }
            Self::Verify => {
                let verification = migrator.verify().await?;
                output::print_schema_check(&verification)?;
                if !verification.differences.is_empty() {
                    return Ok(ExitCode::FAILURE);
                }
            }
            Self::VerifyAudit { checkpoints } => {
                let verification = migrator.verify_audit(checkpoints.as_deref()).await?;
                output::print_audit_verification(&verification)?;
                if !verification.passed() {
                    return Ok(ExitCode::FAILURE);
                }
            }
            Self::AuditCheckpoint { out } => {
                output::print_checkpoint(&migrator.checkpoint_audit(&out).await?)?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}
