//! The sections of the configuration. `config/default.toml` describes each setting.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use ipnet::IpNet;
use secrecy::SecretString;
use serde::Deserialize;
use strum::VariantNames;

use crate::key::Key;
use crate::kind::Kind;
use crate::text::{
    AGENT_ACTION, BROWSER_ORIGIN, COMMAND_NAME, FILE_PATH, HOST, LOG_LEVEL, NAME, NETWORK,
    POSTGRES_URL, PRIVATE_KEY, PUBLIC_KEY, REDIS_URL, SECRET, network,
};
use crate::{DeploymentEnvironment, JwtAlgorithm, LogFormat, MockFailure, SecretUrl};

/// Path of the deployment environment, the only key without a section.
pub(crate) const ENVIRONMENT: &str = "environment";

const MILLISECONDS: u64 = 1;
const SECONDS: u64 = 1000;
const MINUTES: u64 = 60 * SECONDS;
const DAYS: u64 = 24 * 60 * MINUTES;

/// Defines [`Settings`], its sections and [`KEYS`]. A section is `Struct "path" as field`; the field is that of
/// `Settings`, unless another section contains it by `with field: Struct`.
///
/// Each line of a section is `field: Type = Kind`, then `or "VARIABLE"` if the key has a customary variable, then
/// `=> method in UNIT` for a method that returns the field as a duration, or `=>? method in UNIT` if 0 means none.
macro_rules! sections {
    ($(
        #[$doc:meta]
        $name:ident $path:literal $(as $section:ident)? $(with $nested:ident: $nested_section:ident)? {
            $(
                $field:ident: $type:ty = $kind:ident $(($($accepted:tt)*))? $(or $variable:literal)?
                    $(=> $duration:ident in $unit:ident)? $(=>? $period:ident in $period_unit:ident)?,
            )*
        }
    )*) => {
        /// The configuration of one process. `Debug` shows no secrets.
        #[derive(Debug, Clone, Deserialize)]
        pub struct Settings {
            /// Deployment environment.
            pub environment: DeploymentEnvironment,
            $($(#[$doc] pub $section: $name,)?)*
        }

        /// All keys, in the order of the reference.
        pub(crate) const KEYS: &[Key] = &[
            Key {
                path: ENVIRONMENT,
                customary: Some("SOVD_ENVIRONMENT"),
                kind: Kind::OneOf(DeploymentEnvironment::VARIANTS),
            },
            $($(Key {
                path: concat!($path, ".", stringify!($field)),
                customary: [$(Some($variable),)? None][0],
                kind: Kind::$kind $(($($accepted)*))?,
            },)*)*
        ];

        $(
            #[$doc]
            #[derive(Debug, Clone, Deserialize)]
            pub struct $name {
                $(
                    #[doc = concat!("The setting `", $path, ".", stringify!($field), "`.")]
                    pub $field: $type,
                )*
                $(#[doc = concat!("The section `", $path, ".", stringify!($nested), "`.")]
                pub $nested: $nested_section,)?
            }

            impl $name {
                $($(
                    #[doc = concat!("Returns `", stringify!($field), "` as a duration.")]
                    pub fn $duration(&self) -> Duration {
                        Duration::from_millis(self.$field.saturating_mul($unit))
                    }
                )? $(
                    #[doc = concat!("Returns `", stringify!($field), "` as a duration, unless it is 0.")]
                    pub fn $period(&self) -> Option<Duration> {
                        let period = Duration::from_millis(self.$field.saturating_mul($period_unit));
                        (!period.is_zero()).then_some(period)
                    }
                )?)*
            }
        )*
    };
}

sections! {
    /// HTTP server.
    Server "server" as server {
        host: String = Text(HOST),
        port: u16 = Whole(0, 65_535),
        workers: usize = Whole(0, 512),
        cors_origins: Vec<String> = List(BROWSER_ORIGIN) or "CORS_ORIGINS",
        trusted_proxies: Vec<String> = List(NETWORK) or "TRUSTED_PROXIES",
        hsts_seconds: u64 = Whole(0, 63_072_000) => https_only in SECONDS,
        max_connections: usize = Whole(1, 1_000_000),
        connections_per_address: usize = Whole(0, 1_000_000),
        request_head_seconds: u64 = Whole(1, 600) => head_timeout in SECONDS,
        request_body_seconds: u64 = Whole(1, 600) => body_timeout in SECONDS,
        response_write_seconds: u64 = Whole(1, 600) => write_timeout in SECONDS,
        idle_seconds: u64 = Whole(1, 3600) => idle_timeout in SECONDS,
        shutdown_seconds: u64 = Whole(0, 600) => shutdown_grace in SECONDS,
        body_limit_bytes: usize = Whole(1024, 1_048_575),
    }

    /// PostgreSQL and its connection pool.
    Database "database" as database {
        url: SecretUrl = Text(POSTGRES_URL) or "DATABASE_URL",
        allow_plaintext: bool = Switch,
        pool_size: u32 = Whole(1, 1000),
        pool_overflow: u32 = Whole(0, 1000),
        checkout_timeout_ms: u64 = Whole(1, 60_000) => checkout_timeout in MILLISECONDS,
        statement_seconds: u64 = Whole(1, 600) => statement_timeout in SECONDS,
        wait_seconds: u64 = Whole(0, 3600) => start_timeout in SECONDS,
    }

    /// Event bus between processes.
    Redis "redis" as redis {
        url: Option<SecretUrl> = Optional(REDIS_URL) or "REDIS_URL",
        ca_path: Option<PathBuf> = Optional(FILE_PATH),
        cert_path: Option<PathBuf> = Optional(FILE_PATH),
        key_path: Option<PathBuf> = Optional(FILE_PATH),
        allow_plaintext: bool = Switch,
        key_prefix: String = Text(NAME),
    }

    /// Passwords, tokens and sessions.
    Auth "auth" as auth {
        jwt_algorithm: JwtAlgorithm = OneOf(JwtAlgorithm::VARIANTS) or "JWT_ALGORITHM",
        jwt_secret: Option<SecretString> = Optional(SECRET) or "JWT_SECRET",
        jwt_private_key: Option<SecretString> = Optional(SECRET) or "JWT_PRIVATE_KEY",
        jwt_previous_secret: Option<SecretString> = Optional(SECRET) or "JWT_PREVIOUS_SECRET",
        jwt_previous_public_key: Option<SecretString> = Optional(SECRET) or "JWT_PREVIOUS_PUBLIC_KEY",
        leeway_seconds: u64 = Whole(0, 30) => leeway in SECONDS,
        jwt_expiration_minutes: u64 = Whole(1, 1440) or "JWT_EXPIRATION_MINUTES" => access_ttl in MINUTES,
        refresh_days: u64 = Whole(1, 365) => refresh_ttl in DAYS,
        session_days: u64 = Whole(1, 365) => session_ttl in DAYS,
        remember_seconds: u64 = Whole(1, 60) => credential_cache_ttl in SECONDS,
        bcrypt_cost: u32 = Whole(4, 15),
        account_attempts: u32 = Whole(0, 1_000_000),
        address_attempts: u32 = Whole(0, 1_000_000),
    }

    /// Connection to the vehicles.
    Connector "connector" as connector with mock: MockConnector {
        default: String = Text(NAME),
    }

    /// Simulated vehicles.
    MockConnector "connector.mock" {
        min_delay_ms: u64 = Whole(0, 600_000) => min_delay in MILLISECONDS,
        max_delay_ms: u64 = Whole(0, 600_000) => max_delay in MILLISECONDS,
        chunks: u32 = Whole(1, 1000),
        failure: MockFailure = OneOf(MockFailure::VARIANTS),
        hang: bool = Switch,
        lose_final: bool = Switch,
        only: Vec<String> = List(COMMAND_NAME),
        journal: Option<PathBuf> = Optional(FILE_PATH),
    }

    /// Dispatcher of queued commands.
    Dispatch "dispatch" as dispatch {
        enabled: bool = Switch,
        concurrency: usize = Whole(1, 10_000),
        lease_seconds: u64 = Whole(5, 3600) => lease in SECONDS,
        sweep_ms: u64 = Whole(10, 60_000) => sweep_interval in MILLISECONDS,
        first_retry_ms: u64 = Whole(1, 60_000) => first_retry in MILLISECONDS,
        longest_retry_ms: u64 = Whole(1, 3_600_000) => longest_retry in MILLISECONDS,
        waiting_per_vehicle: u32 = Whole(0, 1_000_000),
        waiting_per_user: u32 = Whole(0, 1_000_000),
    }

    /// Stored commands and responses.
    Commands "commands" as commands {
        retention_days: u64 = Whole(0, 36_500) =>? retention in DAYS,
    }

    /// Event streams to clients.
    Streams "streams" as streams {
        ping_seconds: u64 = Whole(1, 3600) => ping_interval in SECONDS,
        idle_seconds: u64 = Whole(2, 86_400) => idle_timeout in SECONDS,
        buffer: usize = Whole(1, 65_536),
        keep_alive_seconds: u64 = Whole(1, 3600) => keep_alive_interval in SECONDS,
        per_user: usize = Whole(1, 100_000),
    }

    /// Limits per caller.
    Limits "limits" as limits {
        commands_per_minute: u32 = Whole(0, 1_000_000),
        requests_per_minute: u32 = Whole(0, 1_000_000),
        requests_in_flight: usize = Whole(1, 10_000),
        lists_in_flight: usize = Whole(1, 1000),
        exports_per_user: usize = Whole(1, 1000),
        exports_in_flight: usize = Whole(1, 1000),
    }

    /// Service accounts.
    Agents "agents" as agents {
        allow: Vec<String> = List(AGENT_ACTION),
        blocked_attempts: u32 = Whole(1, 1000),
        blocked_minutes: u64 = Whole(1, 1440) => window in MINUTES,
        retention_days: u64 = Whole(0, 36_500) =>? retention in DAYS,
    }

    /// Audit trail.
    Audit "audit" as audit {
        seal_ms: u64 = Whole(0, 60_000) =>? seal_interval in MILLISECONDS,
        retention_days: u64 = Whole(0, 36_500) =>? retention in DAYS,
        checkpoint_private_key: Option<SecretString> = Optional(PRIVATE_KEY),
        checkpoint_public_key: Option<String> = Optional(PUBLIC_KEY),
    }

    /// Predictive maintenance.
    Maintenance "maintenance" as maintenance {
        anomaly_rules: Option<PathBuf> = Optional(FILE_PATH),
        slot_minutes: u64 = Whole(1, 1440) => slot in MINUTES,
        insight_threshold: u32 = Whole(0, 1_000_000),
    }

    /// Logs.
    Log "log" as log {
        level: String = Text(LOG_LEVEL) or "LOG_LEVEL",
        format: LogFormat = OneOf(LogFormat::VARIANTS),
    }
}

impl Server {
    /// Returns the number of worker threads, with 0 replaced by the number of processor cores.
    pub fn worker_threads(&self) -> usize {
        match self.workers {
            0 => thread::available_parallelism().map_or(1, NonZeroUsize::get),
            workers => workers,
        }
    }

    /// Returns the networks of `trusted_proxies`. An address becomes a network of one address.
    pub fn trusted_networks(&self) -> Vec<IpNet> {
        self.trusted_proxies
            .iter()
            .filter_map(|text| network(text))
            .collect()
    }
}

impl Auth {
    /// Returns the key that signs tokens: a secret, or a private key in PEM. Loaded settings
    /// always have one.
    pub fn signing_key(&self) -> Option<&SecretString> {
        if self.jwt_algorithm.is_symmetric() {
            self.jwt_secret.as_ref()
        } else {
            self.jwt_private_key.as_ref()
        }
    }

    /// Returns the previous key, whose tokens are still accepted: a secret, or a public key in PEM.
    pub fn previous_key(&self) -> Option<&SecretString> {
        if self.jwt_algorithm.is_symmetric() {
            self.jwt_previous_secret.as_ref()
        } else {
            self.jwt_previous_public_key.as_ref()
        }
    }
}
