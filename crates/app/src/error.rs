use std::io;

use sovd_api::ServerError;
use sovd_connector::UnknownConnector;
use sovd_domain::maintenance::rules::InvalidRules;
use sovd_events::BusError;
use sovd_services::{agents::InvalidAgentPolicy, identity::auth::SigningKeyError};
use sovd_settings::SettingsError;
use sovd_storage::StorageError;
use sovd_telemetry::TelemetryError;
use thiserror::Error;

/// An error that prevents the program from starting, or stops it.
#[derive(Debug, Error)]
pub enum StartError {
    /// A setting is missing or invalid.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The log level is invalid.
    #[error("log.level: {0}")]
    Telemetry(#[from] TelemetryError),
    /// The database did not respond in time.
    #[error("the database at {url} did not answer within {seconds} s: {source}")]
    DatabaseUnavailable {
        /// The URL without the password.
        url: String,
        /// The time limit in seconds.
        seconds: u64,
        /// The error of the last attempt.
        source: StorageError,
    },
    /// A database operation failed.
    #[error("the database at {url}: {source}")]
    Database {
        /// The URL without the password.
        url: String,
        /// The cause.
        source: StorageError,
    },
    /// The database is older than the program.
    #[error(
        "the database lacks {}; run `migrate up` (in a checkout: `cargo migrate up`)",
        pending.join(", ")
    )]
    PendingMigrations {
        /// The migrations that are not applied.
        pending: Vec<String>,
    },
    /// The environment is production, and the seeds have known passwords.
    #[error(
        "the environment is production, and the seeds have known passwords; use --force to insert \
         them anyway"
    )]
    SeedsInProduction,
    /// A token key is not valid for the algorithm.
    #[error("{key}: {source}")]
    SigningKey {
        /// Path of the setting.
        key: &'static str,
        /// The cause, which states what the algorithm accepts.
        source: SigningKeyError,
    },
    /// The policy of agents is invalid.
    #[error("agents.allow: {0}")]
    AgentPolicy(#[from] InvalidAgentPolicy),
    /// The address of Redis or a certificate for it cannot be used.
    #[error("{key}: {source}")]
    Redis {
        /// Path of the setting, and its value if that is a file.
        key: String,
        /// The cause.
        source: BusError,
    },
    /// A file of the settings cannot be read.
    #[error("{key}: {file} cannot be read: {source}")]
    File {
        /// Path of the setting.
        key: &'static str,
        /// The file.
        file: String,
        /// The cause.
        source: io::Error,
    },
    /// The default connector is unknown.
    #[error("connector.default: {0}")]
    Connector(#[from] UnknownConnector),
    /// The anomaly rules are invalid.
    #[error("maintenance.anomaly_rules: {file}: {source}")]
    AnomalyRules {
        /// The file.
        file: String,
        /// The cause, which states what is accepted.
        source: InvalidRules,
    },
    /// The server cannot listen on its address.
    #[error("server.host, server.port: {0}")]
    Address(#[from] ServerError),
    /// The server failed.
    #[error("the server stopped: {0}")]
    Serve(#[source] io::Error),
}
