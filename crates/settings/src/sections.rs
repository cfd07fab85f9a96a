//! The sections of the configuration. `config/default.toml` describes each setting.

use std::num::NonZeroUsize;
use std::thread;

use ipnet::IpNet;
use secrecy::SecretString;
use serde::Deserialize;
use strum::{EnumString, VariantNames};

use crate::kind::{Days, List, Milliseconds, Minutes, OneOf, Optional, Seconds, Whole};
use crate::section::section;
use crate::text::{
    AgentAction, BrowserOrigin, CommandName, FilePath, HostName, LogLevel, Name, Network,
    PostgresUrl, PrivateKey, PublicKey, RedisUrl, Secret, network,
};
use crate::{DeploymentEnvironment, JwtAlgorithm};

/// The configuration of one process. `Debug` shows no secrets.
#[derive(Debug, Clone, Deserialize)]
pub struct Settings {
    /// Deployment environment.
    pub environment: DeploymentEnvironment,
    /// HTTP server.
    pub server: Server,
    /// PostgreSQL and its connection pool.
    pub database: Database,
    /// Event bus between processes.
    pub redis: Redis,
    /// Passwords, tokens and sessions.
    pub auth: Auth,
    /// Connection to the vehicles.
    pub connector: Connector,
    /// Dispatcher of queued commands.
    pub dispatch: Dispatch,
    /// Event streams to clients.
    pub streams: Streams,
    /// Limits per caller.
    pub limits: Limits,
    /// Service accounts.
    pub agents: Agents,
    /// Audit trail.
    pub audit: Audit,
    /// Predictive maintenance.
    pub maintenance: Maintenance,
    /// Logs.
    pub log: Log,
}

section! {
    /// HTTP server.
    Server "server" {
        host: HostName,
        port: Whole<u16, 0, 65_535>,
        workers: Whole<usize, 0, 512>,
        cors_origins: List<BrowserOrigin> = "CORS_ORIGINS",
        trusted_proxies: List<Network> = "TRUSTED_PROXIES",
        hsts_seconds: Seconds<0, 63_072_000> => https_only,
        max_connections: Whole<usize, 1, 1_000_000>,
        connections_per_address: Whole<usize, 0, 1_000_000>,
        request_head_seconds: Seconds<1, 600> => head_timeout,
        request_body_seconds: Seconds<1, 600> => body_timeout,
        response_write_seconds: Seconds<1, 600> => write_timeout,
        idle_seconds: Seconds<1, 3600> => idle_timeout,
        shutdown_seconds: Seconds<0, 600> => shutdown_grace,
        body_limit_bytes: Whole<usize, 1024, 1_048_575>,
    }
}

impl Server {
    /// Returns the number of worker threads, with 0 replaced by the number of processor cores.
    #[must_use]
    pub fn worker_threads(&self) -> usize {
        match self.workers {
            0 => thread::available_parallelism().map_or(1, NonZeroUsize::get),
            workers => workers,
        }
    }

    /// Returns the networks of `trusted_proxies`. An address becomes a network of one address.
    #[must_use]
    pub fn trusted_networks(&self) -> Vec<IpNet> {
        self.trusted_proxies
            .iter()
            .filter_map(|text| network(text))
            .collect()
    }
}

section! {
    /// PostgreSQL and its connection pool.
    Database "database" {
        url: PostgresUrl = "DATABASE_URL",
        allow_plaintext: bool,
        pool_size: Whole<u32, 1, 1000>,
        pool_overflow: Whole<u32, 0, 1000>,
        checkout_timeout_ms: Milliseconds<1, 60_000> => checkout_timeout,
        statement_seconds: Seconds<1, 600> => statement_timeout,
        wait_seconds: Seconds<0, 3600> => start_timeout,
    }
}

section! {
    /// Event bus between processes.
    Redis "redis" {
        url: Optional<RedisUrl> = "REDIS_URL",
        ca_path: Optional<FilePath>,
        cert_path: Optional<FilePath>,
        key_path: Optional<FilePath>,
        allow_plaintext: bool,
        key_prefix: Name,
    }
}

section! {
    /// Passwords, tokens and sessions.
    Auth "auth" {
        jwt_algorithm: OneOf<JwtAlgorithm> = "JWT_ALGORITHM",
        jwt_secret: Optional<Secret> = "JWT_SECRET",
        jwt_private_key: Optional<Secret> = "JWT_PRIVATE_KEY",
        jwt_previous_secret: Optional<Secret> = "JWT_PREVIOUS_SECRET",
        jwt_previous_public_key: Optional<Secret> = "JWT_PREVIOUS_PUBLIC_KEY",
        leeway_seconds: Seconds<0, 30> => leeway,
        jwt_expiration_minutes: Minutes<1, 1440> = "JWT_EXPIRATION_MINUTES" => access_ttl,
        refresh_days: Days<1, 365> => refresh_ttl,
        session_days: Days<1, 365> => session_ttl,
        remember_seconds: Seconds<1, 60> => credential_cache_ttl,
        bcrypt_cost: Whole<u32, 4, 15>,
        account_attempts: Whole<u32, 0, 1_000_000>,
        address_attempts: Whole<u32, 0, 1_000_000>,
    }
}

impl Auth {
    /// Returns the key that signs tokens: a secret, or a private key in PEM. Loaded settings
    /// always have one.
    #[must_use]
    pub fn signing_key(&self) -> Option<&SecretString> {
        if self.jwt_algorithm.is_symmetric() {
            self.jwt_secret.as_ref()
        } else {
            self.jwt_private_key.as_ref()
        }
    }

    /// Returns the previous key, whose tokens are still accepted: a secret, or a public key in PEM.
    #[must_use]
    pub fn previous_key(&self) -> Option<&SecretString> {
        if self.jwt_algorithm.is_symmetric() {
            self.jwt_previous_secret.as_ref()
        } else {
            self.jwt_previous_public_key.as_ref()
        }
    }
}

section! {
    /// Connection to the vehicles.
    Connector "connector" {
        default: Name,
    }
    with
    /// Simulated vehicles.
    mock: MockConnector
}

section! {
    /// Simulated vehicles.
    MockConnector "connector.mock" {
        min_delay_ms: Milliseconds<0, 600_000> => min_delay,
        max_delay_ms: Milliseconds<0, 600_000> => max_delay,
        chunks: Whole<u32, 1, 1000>,
        failure: OneOf<MockFailure>,
        hang: bool,
        lose_final: bool,
        only: List<CommandName>,
        journal: Optional<FilePath>,
    }
}

/// How commands to a simulated vehicle fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, EnumString, VariantNames)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum MockFailure {
    /// Commands succeed.
    None,
    /// The vehicle rejects the command.
    Rejected,
    /// The vehicle is unreachable; nothing is sent.
    Unreachable,
    /// The vehicle does not respond in time.
    Timeout,
    /// The connection breaks.
    Broken,
}

section! {
    /// Dispatcher of queued commands.
    Dispatch "dispatch" {
        enabled: bool,
        concurrency: Whole<usize, 1, 10_000>,
        lease_seconds: Seconds<5, 3600> => lease,
        sweep_ms: Milliseconds<10, 60_000> => sweep_interval,
        first_retry_ms: Milliseconds<1, 60_000> => first_retry,
        longest_retry_ms: Milliseconds<1, 3_600_000> => longest_retry,
        waiting_per_vehicle: Whole<u32, 0, 1_000_000>,
        waiting_per_user: Whole<u32, 0, 1_000_000>,
    }
}

section! {
    /// Event streams to clients.
    Streams "streams" {
        ping_seconds: Seconds<1, 3600> => ping_interval,
        idle_seconds: Seconds<2, 86_400> => idle_timeout,
        buffer: Whole<usize, 1, 65_536>,
        keep_alive_seconds: Seconds<1, 3600> => keep_alive_interval,
        per_user: Whole<usize, 1, 100_000>,
    }
}

section! {
    /// Limits per caller.
    Limits "limits" {
        commands_per_minute: Whole<u32, 0, 1_000_000>,
        requests_per_minute: Whole<u32, 0, 1_000_000>,
        requests_in_flight: Whole<usize, 1, 10_000>,
        lists_in_flight: Whole<usize, 1, 1000>,
        exports_per_user: Whole<usize, 1, 1000>,
        exports_in_flight: Whole<usize, 1, 1000>,
    }
}

section! {
    /// Service accounts.
    Agents "agents" {
        allow: List<AgentAction>,
        blocked_attempts: Whole<u32, 1, 1000>,
        blocked_minutes: Minutes<1, 1440> => window,
        retention_days: Days<0, 36_500> =>? retention,
    }
}

section! {
    /// Audit trail.
    Audit "audit" {
        seal_ms: Milliseconds<0, 60_000> =>? seal_interval,
        retention_days: Days<0, 36_500> =>? retention,
        checkpoint_private_key: Optional<PrivateKey>,
        checkpoint_public_key: Optional<PublicKey>,
    }
}

section! {
    /// Predictive maintenance.
    Maintenance "maintenance" {
        anomaly_rules: Optional<FilePath>,
        slot_minutes: Minutes<1, 1440> => slot,
        insight_threshold: Whole<u32, 0, 1_000_000>,
    }
}

section! {
    /// Logs.
    Log "log" {
        level: LogLevel = "LOG_LEVEL",
        format: OneOf<LogFormat>,
    }
}

/// Format of log entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, EnumString, VariantNames)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum LogFormat {
    /// One JSON object per line.
    Json,
    /// Text for people.
    Pretty,
}
