use serde::Deserialize;

use crate::{
    Agents, Audit, Auth, Connector, Database, Dispatch, Environment, Limits, Loaded, Log,
    Maintenance, Redis, Server, SettingsError, Sources, Streams, load,
};

/// The whole configuration of one process, checked. Its `Debug` shows no secret.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// What the process runs for.
    pub environment: Environment,
    /// The HTTP server.
    pub server: Server,
    /// PostgreSQL and its pool.
    pub database: Database,
    /// The event bus between processes.
    pub redis: Redis,
    /// Passwords and tokens.
    pub auth: Auth,
    /// The way to the vehicles.
    pub connector: Connector,
    /// The dispatcher that sends queued commands.
    pub dispatch: Dispatch,
    /// Event streams to clients.
    pub streams: Streams,
    /// Rates per user.
    pub limits: Limits,
    /// Machines that call with a key.
    pub agents: Agents,
    /// The audit trail.
    pub audit: Audit,
    /// Predictive maintenance.
    pub maintenance: Maintenance,
    /// Logs.
    pub log: Log,
}

impl Settings {
    /// Merges the sources, lowest to highest: built-in defaults, `default.toml`,
    /// `{environment}.toml`, `.env`, environment variables, overrides.
    ///
    /// # Errors
    ///
    /// Lists every problem found: files that cannot be read, unknown keys and variables, values
    /// out of range, values that are missing and values that production refuses. No secret's
    /// value is ever part of it.
    pub fn load(sources: Sources) -> Result<Loaded, SettingsError> {
        load::load(sources)
    }
}
