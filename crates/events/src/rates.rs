use std::{num::NonZeroU32, time::Duration};

use async_trait::async_trait;

/// Rate limits that several processes share.
#[async_trait]
pub trait SharedRates: Send + Sync {
    /// Counts a use of `name` if it is within the limit of `per_minute` uses, which may occur in a burst.
    /// Returns `None` while the shared count is unavailable; the process must then count by itself.
    async fn count(&self, name: &str, per_minute: NonZeroU32) -> Option<Admission>;
}

/// The decision of a rate limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// The use is within the limit and counts.
    Admitted,
    /// The use exceeds the limit and does not count; retry after this time.
    RefusedFor(Duration),
}
