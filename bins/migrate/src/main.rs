//! `migrate`: migrates, seeds and verifies a database, and verifies its audit trail.

mod command;
mod output;

use std::{
    error::Error,
    io::{Write, stderr},
    process::ExitCode,
    time::Duration,
};

use clap::Parser;
use sovd_app::{
    init_telemetry,
    migrate::Migrator,
    settings::{Log, LogFormat, Sources},
};

use command::Command;

/// Migrate, seed or verify the database of `DATABASE_URL`, or verify its audit trail.
#[derive(Parser)]
#[command(name = "migrate", version)]
struct Arguments {
    /// How long to wait for a database that is starting, in seconds.
    #[arg(long, global = true, default_value_t = 30, value_name = "SECONDS")]
    wait: u64,
    #[command(subcommand)]
    command: Command,
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
    arguments.command.run(&migrator).await
}
