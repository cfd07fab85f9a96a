use std::{num::NonZeroU32, time::Duration};

use async_trait::async_trait;

/// Counts uses of names against rates, for several processes together.
#[async_trait]
pub trait SharedRates: Send + Sync {
    /// Counts a use of `name` if it is within `per_minute` uses in a minute, which may come all at
    /// once. None while the shared count cannot be reached: the process then has to count by itself.
    async fn count(&self, name: &str, per_minute: NonZeroU32) -> Option<Admission>;
}

/// Whether a use is within its rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// It is, and counts.
    Admitted,
    /// It is not, and does not count; the next one will be after this time.
    RefusedFor(Duration),
}
