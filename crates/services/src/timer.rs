//! The clock as a parameter.

use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;
use sovd_domain::{Clock, SystemClock};
use tokio::time::sleep;

/// A clock that tasks can sleep by.
pub trait Timer: Clock {
    /// Completes when the clock reaches `moment`, at once if it has passed.
    fn sleep_until(&self, moment: DateTime<Utc>) -> BoxFuture<'static, ()>;
}

/// The system clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemTimer;

impl Clock for SystemTimer {
    fn now(&self) -> DateTime<Utc> {
        SystemClock.now()
    }
}

impl Timer for SystemTimer {
    fn sleep_until(&self, moment: DateTime<Utc>) -> BoxFuture<'static, ()> {
        let span = (moment - self.now()).to_std().unwrap_or_default();
        Box::pin(sleep(span))
    }
}
