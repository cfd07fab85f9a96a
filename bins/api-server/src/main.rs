//! `api-server`: serves the API until SIGTERM or SIGINT.

use std::{
    error::Error,
    io::{Write, stderr, stdout},
    process::ExitCode,
};

use clap::Parser;
use sovd_app::{
    Application, Settings, Shutdown, init_telemetry,
    settings::{Loaded, Sources},
};

/// Serve the SOVD Command API until SIGTERM or SIGINT.
///
/// Settings are read from config/default.toml, config/{environment}.toml, .env and the environment.
#[derive(Parser)]
#[command(name = "api-server", version)]
struct Arguments {
    /// Print the effective settings without secrets and the origin of each, then exit.
    #[arg(long)]
    check_config: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(&Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(stderr(), "api-server: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let loaded = Settings::load(Sources::from_process()?)?;
    if arguments.check_config {
        print_config(&loaded)?;
        return Ok(Application::check(&loaded.settings)?);
    }
    init_telemetry(&loaded.settings.log)?;
    let shutdown = Shutdown::on_signals()?;
    let application = tokio::select! {
        built = Application::build(loaded.settings) => built?,
        () = shutdown.requested() => return Ok(()),
    };
    Ok(application.run(shutdown).await?)
}

fn print_config(loaded: &Loaded) -> std::io::Result<()> {
    let mut out = stdout().lock();
    for row in &loaded.values {
        writeln!(out, "{:<32} {:<40} {}", row.key, row.value, row.origin)?;
    }
    Ok(())
}
