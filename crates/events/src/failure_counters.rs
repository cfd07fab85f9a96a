mod local;

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};

pub use local::LocalFailureCounters;

/// Counts failures by name and blocks names. No attempt is allowed under a blocked name. Times are those of
/// the caller's clock, in whole milliseconds.
///
/// Methods never fail, so that an outage locks out no user: a local counter substitutes for an unavailable
/// server.
#[async_trait]
pub trait FailureCounters: Send + Sync {
    /// Returns until when each of `names` is blocked, in their order; `None` for one that is not blocked at
    /// `now`.
    async fn blocked_until(&self, names: &[&str], now: DateTime<Utc>)
    -> Vec<Option<DateTime<Utc>>>;

    /// Counts one failure of each name and blocks it according to its policy. Both happen atomically across
    /// processes.
    async fn record_failures(&self, failures: &[(&str, BackoffPolicy)], now: DateTime<Utc>);

    /// Blocks `name` at least until `until` and returns whether it was free at `now`. Only one of several
    /// concurrent callers receives `true`.
    async fn block(&self, name: &str, until: DateTime<Utc>, now: DateTime<Utc>) -> bool;

    /// Unblocks `name` and resets its count.
    async fn reset(&self, name: &str);
}

/// How failures block a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackoffPolicy {
    /// The number of failures that do not block.
    pub free: u32,
    /// How long the next failure blocks; each further one doubles the delay.
    pub first: Duration,
    /// The longest delay.
    pub longest: Duration,
    /// The time without a failure after which the count is reset. Longer than `longest`.
    pub memory: Duration,
}

impl BackoffPolicy {
    /// Returns how long the failure with this number, from 1, blocks its name.
    fn delay(self, failures: u32) -> Duration {
        let Some(doublings) = failures.checked_sub(self.free.saturating_add(1)) else {
            return Duration::ZERO;
        };
        let factor = 2_u32.checked_pow(doublings).unwrap_or(u32::MAX);
        self.first.saturating_mul(factor).min(self.longest)
    }
}
