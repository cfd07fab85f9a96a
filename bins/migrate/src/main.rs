//! `migrate`: brings a database up to date, seeds it, compares it with the migrations, checks
//! its audit trail.

mod print;

use std::{
    error::Error,
    io::{Write, stderr},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use clap::{Parser, Subcommand};
use sovd_app::{
    init_telemetry,
    migrate::{Migrator, Steps},
    settings::{Log, LogFormat, Sources},
};

/// Bring the database of `DATABASE_URL` up to date, seed it, compare it with the migrations, or check
/// its audit trail.
#[derive(Parser)]
#[command(name = "migrate", version)]
struct Arguments {
    /// How long to wait for a database that is still starting, in seconds.
    #[arg(long, global = true, default_value_t = 30, value_name = "SECONDS")]
    wait: u64,
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Apply what is pending.
    Up,
    /// Revert the latest migration, or more. Deletes the data in what it reverts.
    Down {
        /// How many.
        #[arg(long, default_value_t = 1, conflicts_with = "all")]
        steps: usize,
        /// All of them.
        #[arg(long)]
        all: bool,
    },
    /// Revert the latest migration and apply it again.
    Redo,
    /// Show which migrations are applied.
    Status,
    /// Insert users and vehicles to try things with. Their passwords are known to everybody.
    Seed {
        /// Insert them even in production.
        #[arg(long)]
        force: bool,
    },
    /// Compare the live schema with what the migrations define; fails on any difference.
    Verify,
    /// Check the sealed lines of the audit trail; fails when one was changed, deleted or put in between.
    ///
    /// Fails also when the beginning was cut off by other means than the program's, and when a line has
    /// waited to be sealed for more than 5 minutes. It does not know who wrote a line: one that was put
    /// into the table by hand, with any name and time in it, is sealed like any other.
    VerifyAudit {
        /// A file of checkpoints that the trail must agree with; fails when none can be compared, and
        /// when a line was cut off that is younger than `audit.retention_days`.
        #[arg(long, value_name = "FILE")]
        checkpoints: Option<PathBuf>,
    },
    /// Sign where the audit trail ends now, for keeping elsewhere.
    AuditCheckpoint {
        /// The file that the signed line is appended to.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(code) => code,
        Err(error) => {
            let _ = writeln!(stderr(), "migrate: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<ExitCode, Box<dyn Error>> {
    init_telemetry(&Log {
        level: "warn".to_owned(),
        format: LogFormat::Pretty,
    })?;
    let migrator = Migrator::from_sources(Sources::from_process()?)?;
    migrator.wait(Duration::from_secs(arguments.wait)).await?;
    match arguments.action {
        Action::Up => print::names("applied", &migrator.up().await?)?,
        Action::Down { steps, all } => {
            let steps = if all { Steps::All } else { Steps::Count(steps) };
            print::names("reverted", &migrator.down(steps).await?)?;
        }
        Action::Redo => print::names("redone", migrator.redo().await?.as_slice())?,
        Action::Status => print::states(&migrator.status().await?)?,
        Action::Seed { force } => {
            migrator.seed(force).await?;
            print::line("the seeds are there")?;
        }
        Action::Verify => {
            let check = migrator.verify().await?;
            print::schema_check(&check)?;
            if !check.differences.is_empty() {
                return Ok(ExitCode::FAILURE);
            }
        }
        Action::VerifyAudit { checkpoints } => {
            let verification = migrator.verify_audit(checkpoints.as_deref()).await?;
            print::audit_verification(&verification)?;
            if !verification.is_sound() {
                return Ok(ExitCode::FAILURE);
            }
        }
        Action::AuditCheckpoint { out } => {
            print::checkpoint(&migrator.checkpoint_audit(&out).await?)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
