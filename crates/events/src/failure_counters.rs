mod local;

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};

pub use local::LocalFailureCounters;

/// Remembers under names what was tried in vain, and until when a name is held, which means that
/// nothing may be tried under it. Times are those of the caller's clock, in whole milliseconds.
///
/// It never fails: what is away is stood in for, because nobody is to be kept out by an outage.
#[async_trait]
pub trait FailureCounters: Send + Sync {
    /// Until when each of `names` is held, in their order; nothing for one that is free at `now`.
    async fn held(&self, names: &[&str], now: DateTime<Utc>) -> Vec<Option<DateTime<Utc>>>;

    /// Counts one failure under each name, and holds it as long as its pace says. Both are one
    /// step, also for several processes.
    async fn fail(&self, failures: &[(&str, BackoffPolicy)], now: DateTime<Utc>);

    /// Holds `name` at least until `until`; says whether it was free at `now`. Of several that
    /// do so at a time one is told that it was.
    async fn hold(&self, name: &str, until: DateTime<Utc>, now: DateTime<Utc>) -> bool;

    /// Frees `name` and forgets its failures.
    async fn forget(&self, name: &str);
}

/// How failures under one name hold it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackoffPolicy {
    /// So many failures hold nothing.
    pub free: u32,
    /// How long the next one holds; each further one doubles it.
    pub first: Duration,
    /// What the doubling ends at.
    pub longest: Duration,
    /// After so long without a failure all are forgotten. More than `longest`.
    pub memory: Duration,
}

impl BackoffPolicy {
    /// How long the failure with this number, from 1, holds its name.
    fn delay(self, failures: u32) -> Duration {
        let Some(doublings) = failures
            .checked_sub(self.free)
            .and_then(|it| it.checked_sub(1))
        else {
            return Duration::ZERO;
        };
        let factor = 2_u32.checked_pow(doublings).unwrap_or(u32::MAX);
        self.first.saturating_mul(factor).min(self.longest)
    }
}
