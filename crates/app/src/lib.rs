#![doc = include_str!("../README.md")]

pub mod migrate;

mod anomaly_rules;
mod application;
mod build;
mod error;
mod redis_server;
mod shutdown;

pub use application::Application;
pub use error::StartError;
pub use shutdown::Shutdown;
pub use sovd_settings as settings;
pub use sovd_settings::Settings;

/// Returns the OpenAPI 3.1 document of the HTTP API as JSON.
pub fn openapi_json() -> String {
    sovd_api::document().to_pretty_json().unwrap_or_default()
}

/// Sends the logs of this process to standard output as configured.
///
/// # Errors
///
/// [`StartError::Telemetry`] if the level is invalid.
pub fn init_telemetry(log: &settings::Log) -> Result<(), StartError> {
    let format = match log.format {
        settings::LogFormat::Json => sovd_telemetry::Format::Json,
        settings::LogFormat::Pretty => sovd_telemetry::Format::Pretty,
    };
    Ok(sovd_telemetry::init(&log.level, format)?)
}
