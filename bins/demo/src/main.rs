//! `sovd-demo`: starts everything and performs the main job before your eyes.

mod client;
mod job;
mod program;
mod say;

use std::{error::Error, process::ExitCode};

use clap::Parser;
use sovd_app::Shutdown;
use sovd_devstack::install;

use program::Program;
use say::say;

/// Start PostgreSQL, Redis and the server, then log in, list vehicles, read trouble codes and
/// watch the answer arrive. Then stay up until Ctrl-C.
#[derive(Parser)]
#[command(name = "sovd-demo", version)]
struct Arguments {
    /// Install PostgreSQL and Redis first if they are missing.
    #[arg(long)]
    install: bool,
    /// Stop after the job; the exit code says whether it worked.
    #[arg(long)]
    once: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(&Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say::complain(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    if arguments.install {
        say(&install()?.to_string());
    }
    let shutdown = Shutdown::on_signals()?;
    let mut program = tokio::select! {
        started = Program::start(shutdown.clone()) => started?,
        () = shutdown.asked() => return Err("stopped before it was up".into()),
    };
    let job = tokio::select! {
        job = job::perform(program.address()) => job,
        () = shutdown.asked() => Err("stopped before the job was done".into()),
    };
    match job {
        Ok(job) if !arguments.once => {
            say::invite(&program, &job);
            program.ended().await;
        }
        Ok(_) => {}
        Err(error) => {
            program.stop().await?;
            return Err(error);
        }
    }
    program.stop().await
}
