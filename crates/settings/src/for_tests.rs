use crate::{
    Agents, Audit, Auth, Connector, Database, Dispatch, Environment, JwtAlgorithm, Limits, Log,
    LogFormat, Maintenance, MockConnector, MockFailure, Redis, SecretUrl, Server, Settings,
    Streams,
};

impl Settings {
    /// Settings for tests that build the whole program: any free port, one worker, a small pool,
    /// the cheapest bcrypt, clocks that agree, and simulated vehicles that answer at once.
    #[must_use]
    pub fn for_tests(database_url: &str, redis_url: Option<&str>) -> Self {
        Self {
            environment: Environment::Test,
            server: server(),
            database: Database {
                url: SecretUrl::new(database_url),
                allow_plaintext: false,
                pool_size: 2,
                pool_overflow: 8,
                checkout_timeout_ms: 3000,
                // Many tests share one machine.
                statement_seconds: 30,
                wait_seconds: 30,
            },
            redis: Redis {
                url: redis_url.map(SecretUrl::new),
                ca_path: None,
                cert_path: None,
                key_path: None,
                allow_plaintext: false,
                key_prefix: "sovd".to_owned(),
            },
            auth: Auth {
                jwt_algorithm: JwtAlgorithm::Hs256,
                jwt_secret: Some("9f2b6c0de1a74835b8c6d7e0f1a2334455c9e8d7".into()),
                jwt_private_key: None,
                jwt_previous_secret: None,
                jwt_previous_public_key: None,
                leeway_seconds: 0,
                jwt_expiration_minutes: 15,
                refresh_days: 7,
                session_days: 30,
                remember_seconds: 5,
                bcrypt_cost: 4,
                // All tests come from one address, and many share one Redis.
                account_attempts: 0,
                address_attempts: 0,
            },
            connector: Connector {
                default: "mock".to_owned(),
                mock: MockConnector {
                    min_delay_ms: 0,
                    max_delay_ms: 0,
                    chunks: 1,
                    failure: MockFailure::None,
                    hang: false,
                    lose_final: false,
                    only: Vec::new(),
                    journal: None,
                },
            },
            dispatch: Dispatch {
                enabled: true,
                concurrency: 64,
                lease_seconds: 30,
                sweep_ms: 1000,
                first_retry_ms: 10,
                longest_retry_ms: 100,
                waiting_per_vehicle: 0,
                waiting_per_user: 0,
            },
            streams: Streams {
                ping_seconds: 20,
                idle_seconds: 60,
                buffer: 64,
                keep_alive_seconds: 15,
                per_user: 1000,
            },
            limits: generous_limits(),
            agents: Agents {
                allow: Vec::new(),
                blocked_attempts: 5,
                blocked_minutes: 10,
                retention_days: 90,
            },
            audit: Audit {
                seal_ms: 1000,
                retention_days: 0,
                checkpoint_private_key: None,
                checkpoint_public_key: None,
            },
            maintenance: Maintenance {
                anomaly_rules: None,
                slot_minutes: 30,
                insight_threshold: 0,
            },
            log: Log {
                level: "info".to_owned(),
                format: LogFormat::Pretty,
            },
        }
    }
}

/// Any free port, and limits that no test reaches unless it sets its own.
fn server() -> Server {
    Server {
        host: "127.0.0.1".to_owned(),
        port: 0,
        workers: 1,
        cors_origins: Vec::new(),
        trusted_proxies: Vec::new(),
        hsts_seconds: 0,
        max_connections: 25_000,
        connections_per_address: 0,
        request_head_seconds: 10,
        request_body_seconds: 10,
        response_write_seconds: 30,
        idle_seconds: 75,
        shutdown_seconds: 10,
        body_limit_bytes: 262_144,
    }
}

/// Limits that no test reaches unless it sets its own.
fn generous_limits() -> Limits {
    Limits {
        commands_per_minute: 0,
        requests_per_minute: 0,
        requests_in_flight: 10_000,
        lists_in_flight: 1000,
        exports_per_user: 1000,
        exports_in_flight: 1000,
    }
}
