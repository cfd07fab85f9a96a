use crate::{SecretUrl, Settings, Sources};

/// What tests need other than the defaults: a free port, one worker, a small pool, the cheapest
/// bcrypt, no clock skew, vehicles that respond at once, and limits that no test reaches unless it
/// sets its own.
const OVERRIDES: [(&str, &str); 26] = [
    ("environment", "test"),
    ("server.port", "0"),
    ("server.workers", "1"),
    ("server.connections_per_address", "0"),
    ("database.url", "postgres://localhost"),
    ("database.pool_size", "2"),
    ("database.pool_overflow", "8"),
    // Many tests share one machine.
    ("database.statement_seconds", "30"),
    (
        "auth.jwt_secret",
        "9f2b6c0de1a74835b8c6d7e0f1a2334455c9e8d7",
    ),
    ("auth.leeway_seconds", "0"),
    ("auth.remember_seconds", "5"),
    ("auth.bcrypt_cost", "4"),
    // All tests have one address, and many share one Redis.
    ("auth.account_attempts", "0"),
    ("auth.address_attempts", "0"),
    ("connector.mock.min_delay_ms", "0"),
    ("connector.mock.max_delay_ms", "0"),
    ("dispatch.first_retry_ms", "10"),
    ("dispatch.longest_retry_ms", "100"),
    ("dispatch.waiting_per_vehicle", "0"),
    ("dispatch.waiting_per_user", "0"),
    ("streams.per_user", "1000"),
    ("limits.requests_in_flight", "10000"),
    ("limits.lists_in_flight", "1000"),
    ("limits.exports_per_user", "1000"),
    ("limits.exports_in_flight", "1000"),
    ("log.format", "pretty"),
];

impl Settings {
    /// Returns settings for tests that start the whole program.
    ///
    /// # Panics
    ///
    /// If the defaults are not valid.
    #[expect(clippy::expect_used, reason = "compiled for tests only")]
    pub fn for_tests(database_url: &str, redis_url: Option<&str>) -> Self {
        let sources = Sources {
            overrides: OVERRIDES
                .map(|(key, value)| (key.into(), value.into()))
                .into(),
            ..Sources::default()
        };
        let mut settings = Self::load(sources).expect("valid defaults").settings;
        settings.database.url = SecretUrl::new(database_url);
        settings.redis.url = redis_url.map(SecretUrl::new);
        settings
    }
}
