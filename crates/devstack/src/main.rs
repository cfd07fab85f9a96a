//! `devstack`: private PostgreSQL and Redis at the command line.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "printing is its purpose"
)]

use std::error::Error;
use std::process::ExitCode;

use clap::Parser;
use sovd_devstack::{SearchPath, Stack, install};
use tokio::signal::unix::{SignalKind, signal};

/// Private PostgreSQL and Redis for development and tests.
#[derive(Parser)]
#[command(name = "devstack", version)]
enum Arguments {
    /// Install the servers that are missing.
    Install,
    /// Run both until Ctrl-C; their data goes with them.
    Up,
    /// Show which servers would be used.
    Status,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("devstack: {error:?}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<(), Box<dyn Error>> {
    match arguments {
        Arguments::Install => println!("{}", install()?),
        Arguments::Up => {
            let mut interrupt = signal(SignalKind::interrupt())?;
            let mut terminate = signal(SignalKind::terminate())?;
            let stack = Stack::start()?;
            println!("DATABASE_URL={}", stack.database_url());
            println!("REDIS_URL={}", stack.redis_url());
            tokio::select! { _ = interrupt.recv() => {} _ = terminate.recv() => {} }
        }
        Arguments::Status => {
            let search_path = SearchPath::system();
            let redis = search_path.redis().map(|found| println!("{found}"));
            println!("{}", search_path.postgres()?);
            redis?;
        }
    }
    Ok(())
}
