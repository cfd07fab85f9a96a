use std::time::Duration;

use serde::Deserialize;

use crate::accepts::Accepts;
use crate::key::Key;

/// Event streams to clients.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Streams {
    /// Seconds between two pings to a client, 1 to 3600.
    pub ping_seconds: u64,
    /// Seconds of silence after which a client is let go, above `ping_seconds`, up to 86400.
    pub idle_seconds: u64,
    /// Events held for a client that reads slowly, 1 to 65536.
    pub buffer: usize,
    /// Seconds of silence on an event stream over HTTP after which it shows that it is alive, 1 to
    /// 3600.
    pub keep_alive_seconds: u64,
    /// Streams that one user may have open at a time in this process, 1 to 100000.
    pub per_user: usize,
}

impl Streams {
    pub(crate) const KEYS: &[Key] = &[
        Key::new("streams.ping_seconds", Accepts::Whole(1, 3600)),
        Key::new("streams.idle_seconds", Accepts::Whole(2, 86_400)),
        Key::new("streams.buffer", Accepts::Whole(1, 65_536)),
        Key::new("streams.keep_alive_seconds", Accepts::Whole(1, 3600)),
        Key::new("streams.per_user", Accepts::Whole(1, 100_000)),
    ];

    /// Time between two pings to a client.
    #[must_use]
    pub fn ping_interval(&self) -> Duration {
        Duration::from_secs(self.ping_seconds)
    }

    /// Silence after which a client is let go.
    #[must_use]
    pub fn idle_timeout(&self) -> Duration {
        Duration::from_secs(self.idle_seconds)
    }

    /// Silence on an event stream over HTTP after which it shows that it is alive.
    #[must_use]
    pub fn keep_alive_interval(&self) -> Duration {
        Duration::from_secs(self.keep_alive_seconds)
    }
}
