//! `sovd-demo`: starts all servers and runs the main use case.

mod client;
mod output;
mod program;
mod scenario;

use std::{error::Error, process::ExitCode};

use clap::Parser;
use sovd_app::Shutdown;
use sovd_devstack::install;

use program::Program;

/// Start PostgreSQL, Redis and the server, then log in, list vehicles, read trouble codes and follow
/// the responses. Keep running until Ctrl-C.
#[derive(Parser)]
#[command(name = "sovd-demo", version)]
struct Arguments {
    /// Install PostgreSQL and Redis first if they are missing.
    #[arg(long)]
    install: bool,
    /// Exit after the scenario; the exit code is 0 if it succeeded.
    #[arg(long)]
    once: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(&Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output::print_error(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    if arguments.install {
        output::print(&install()?);
    }
    let shutdown = Shutdown::on_signals()?;
    let mut program = tokio::select! {
        started = Program::start(shutdown.clone()) => started?,
        () = shutdown.requested() => return Err("interrupted during startup".into()),
    };
    let vehicle_id = tokio::select! {
        result = scenario::run(program.address) => result,
        () = shutdown.requested() => Err("interrupted during the scenario".into()),
    };
    if let (Ok(vehicle_id), false) = (&vehicle_id, arguments.once) {
        output::print_instructions(&program, vehicle_id);
        program.wait_for_end().await;
    }
    program.stop().await?;
    vehicle_id.map(drop)
}
