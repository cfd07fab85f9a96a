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

/// Why the program does not start or has to stop.
#[derive(Debug, Error)]
pub enum StartError {
    /// A setting is missing or wrong.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The log level cannot be understood.
    #[error("log.level: {0}")]
    Telemetry(#[from] TelemetryError),
    /// The database did not answer in time.
    #[error("the database at {url} did not answer within {seconds} s: {source}")]
    DatabaseAway {
        /// Where it should be, without the password.
        url: String,
        /// How long the program waited.
        seconds: u64,
        /// What the last attempt said.
        source: StorageError,
    },
    /// The database does what it is not asked.
    #[error("the database at {url}: {source}")]
    Database {
        /// Where it is, without the password.
        url: String,
        /// What it says.
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
    /// A key for tokens is none that the algorithm takes.
    #[error("{key}: {source}")]
    SigningKey {
        /// Path of the setting.
        key: &'static str,
        /// What the algorithm takes.
        source: SigningKeyError,
    },
    /// What agents may change is not said in words for it.
    #[error("agents.allow: {0}")]
    AgentPolicy(#[from] InvalidAgentPolicy),
    /// The address of Redis or a certificate for it cannot be used.
    #[error("{key}: {source}")]
    Redis {
        /// Path of the setting, and its value where that is a file.
        key: String,
        /// What is wrong.
        source: BusError,
    },
    /// A file of certificates for Redis cannot be read.
    #[error("{key}: {file} cannot be read: {source}")]
    RedisFile {
        /// Path of the setting.
        key: &'static str,
        /// The file.
        file: String,
        /// What the system says.
        source: io::Error,
    },
    /// The default connector is unknown.
    #[error("connector.default: {0}")]
    Connector(#[from] UnknownConnector),
    /// The file of the rules cannot be read.
    #[error("maintenance.anomaly_rules: {file} cannot be read: {source}")]
    AnomalyRulesAway {
        /// The file.
        file: String,
        /// What the system says.
        source: io::Error,
    },
    /// The rules are not as they should be.
    #[error("maintenance.anomaly_rules: {file}: {source}")]
    AnomalyRules {
        /// The file.
        file: String,
        /// What is wrong, and what is accepted.
        source: InvalidRules,
    },
    /// The address cannot be had.
    #[error("server.host, server.port: {0}")]
    Address(#[from] ServerError),
    /// The system takes away what the server needs.
    #[error("the server stopped: {0}")]
    Serve(#[source] io::Error),
}
