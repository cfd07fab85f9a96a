use std::time::Duration;

use serde::Deserialize;

use crate::SecretUrl;
use crate::accepts::Accepts;
use crate::key::Key;

/// PostgreSQL and its pool.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Database {
    /// `postgres://` or `postgresql://` address with one or several hosts, and with the TLS
    /// parameters of libpq.
    pub url: SecretUrl,
    /// Whether production accepts a URL whose `sslmode` allows plaintext to another machine.
    pub allow_plaintext: bool,
    /// Connections kept open, 1 to 1000.
    pub pool_size: u32,
    /// Connections that may be opened above `pool_size` under load, 0 to 1000.
    pub pool_overflow: u32,
    /// Milliseconds a caller waits for a free connection, 1 to 60000.
    pub checkout_timeout_ms: u64,
    /// Seconds that one statement may take, 1 to 600.
    pub statement_seconds: u64,
    /// Seconds that start waits for the database to answer, 0 to 3600.
    pub wait_seconds: u64,
}

impl Database {
    pub(crate) const KEYS: &[Key] = &[
        Key::new("database.url", Accepts::PostgresUrl).flat("DATABASE_URL"),
        Key::new("database.allow_plaintext", Accepts::Switch),
        Key::new("database.pool_size", Accepts::Whole(1, 1000)),
        Key::new("database.pool_overflow", Accepts::Whole(0, 1000)),
        Key::new("database.checkout_timeout_ms", Accepts::Whole(1, 60_000)),
        Key::new("database.statement_seconds", Accepts::Whole(1, 600)),
        Key::new("database.wait_seconds", Accepts::Whole(0, 3600)),
    ];

    /// The most connections this process opens: pool and overflow together.
    #[must_use]
    pub fn max_connections(&self) -> u32 {
        self.pool_size.saturating_add(self.pool_overflow)
    }

    /// Time a caller waits for a free connection.
    #[must_use]
    pub fn checkout_timeout(&self) -> Duration {
        Duration::from_millis(self.checkout_timeout_ms)
    }

    /// Time that one statement may take.
    #[must_use]
    pub fn statement_timeout(&self) -> Duration {
        Duration::from_secs(self.statement_seconds)
    }

    /// Time that start waits for the database to answer.
    #[must_use]
    pub fn start_timeout(&self) -> Duration {
        Duration::from_secs(self.wait_seconds)
    }
}
