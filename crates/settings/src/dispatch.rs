use std::time::Duration;

use serde::Deserialize;

use crate::accepts::Accepts;
use crate::key::Key;

/// The dispatcher that sends queued commands.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dispatch {
    /// Whether this process sends commands to vehicles.
    pub enabled: bool,
    /// Commands in flight at a time in this process, 1 to 10000.
    pub concurrency: usize,
    /// Seconds a claimed command belongs to this process unless renewed, 5 to 3600.
    pub lease_seconds: u64,
    /// Milliseconds between two looks for work while something in the queue is due, 10 to 60000.
    pub sweep_ms: u64,
    /// Longest pause before the second try of what was in vain, in milliseconds, 1 to 60000; it
    /// doubles with each further try.
    pub first_retry_ms: u64,
    /// Longest pause of all in milliseconds, `first_retry_ms` to 3600000.
    pub longest_retry_ms: u64,
    /// Commands to one vehicle that may wait or be under way, 0 to 1000000; 0 is no limit.
    pub waiting_per_vehicle: u32,
    /// Commands of one user that may wait or be under way, 0 to 1000000; 0 is no limit.
    pub waiting_per_user: u32,
}

impl Dispatch {
    pub(crate) const KEYS: &[Key] = &[
        Key::new("dispatch.enabled", Accepts::Switch),
        Key::new("dispatch.concurrency", Accepts::Whole(1, 10_000)),
        Key::new("dispatch.lease_seconds", Accepts::Whole(5, 3600)),
        Key::new("dispatch.sweep_ms", Accepts::Whole(10, 60_000)),
        Key::new("dispatch.first_retry_ms", Accepts::Whole(1, 60_000)),
        Key::new("dispatch.longest_retry_ms", Accepts::Whole(1, 3_600_000)),
        Key::new("dispatch.waiting_per_vehicle", Accepts::Whole(0, 1_000_000)),
        Key::new("dispatch.waiting_per_user", Accepts::Whole(0, 1_000_000)),
    ];

    /// Time a claimed command belongs to this process unless renewed.
    #[must_use]
    pub fn lease(&self) -> Duration {
        Duration::from_secs(self.lease_seconds)
    }

    /// Longest pause before the second try of what was in vain.
    #[must_use]
    pub fn first_retry(&self) -> Duration {
        Duration::from_millis(self.first_retry_ms)
    }

    /// Longest pause of all between two tries.
    #[must_use]
    pub fn longest_retry(&self) -> Duration {
        Duration::from_millis(self.longest_retry_ms)
    }

    /// Time between two looks for work while something in the queue is due.
    #[must_use]
    pub fn sweep_interval(&self) -> Duration {
        Duration::from_millis(self.sweep_ms)
    }
}
