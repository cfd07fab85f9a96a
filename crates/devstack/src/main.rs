//! Command line of the devstack: installs and runs private PostgreSQL and Redis servers.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command-line program prints"
)]

use std::error::Error;
use std::process::ExitCode;

use clap::Parser;
use sovd_devstack::{Stack, install};
use tokio::signal::unix::{SignalKind, signal};

/// Private PostgreSQL and Redis for development and tests.
#[derive(Parser)]
#[command(name = "devstack", version)]
enum Arguments {
    /// Install the missing servers.
    Install,
    /// Run both servers until Ctrl-C, then delete their data.
    Up,
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
    }
    Ok(())
}
