use std::{sync::Arc, thread::available_parallelism, time::Duration};

use crate::{
    error::{Result, ServiceError},
    keyed_permits::{KeyedPermit, KeyedPermits},
};

/// The maximum number of queue entries.
const MAX_WAITING: usize = 256;

/// The maximum time in the queue.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The `Retry-After` of requests that got no permit.
const RETRY_AFTER: Duration = Duration::from_secs(10);

/// Limits concurrent password hashing, with a bounded first-in, first-out queue.
pub(super) struct HashingPermits(Arc<KeyedPermits<()>>);

/// Permits one hash at a time until it is dropped.
pub(super) type HashingPermit = KeyedPermit<()>;

impl HashingPermits {
    /// One permit for every two cores, at least one; the other cores serve requests.
    pub(super) fn for_this_machine() -> Self {
        let cores = available_parallelism().map_or(1, usize::from);
        Self::new((cores / 2).max(1), MAX_WAITING)
    }

    fn new(permits: usize, max_waiting: usize) -> Self {
        Self(Arc::new(KeyedPermits::new(permits, max_waiting, TIMEOUT)))
    }

    /// Waits for a permit. Returns [`ServiceError::RateLimited`] if the queue is full or the wait exceeds
    /// [`TIMEOUT`]. Dropping the future leaves the queue.
    pub(super) async fn acquire(&self) -> Result<HashingPermit> {
        self.0.acquire(()).await.ok_or(ServiceError::RateLimited {
            retry_after: RETRY_AFTER,
        })
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt, future::join_all};

    use super::*;

    fn is_rejected(outcome: &Result<HashingPermit>) -> bool {
        matches!(outcome, Err(ServiceError::RateLimited { retry_after }) if *retry_after == RETRY_AFTER)
    }

    #[tokio::test]
    async fn rejects_requests_beyond_the_queue_limit() {
        let permits = HashingPermits::new(1, 3);
        let permit = permits.acquire().await.unwrap();
        let mut waiting = join_all((0..3).map(|_| permits.acquire())).boxed();
        assert!(waiting.as_mut().now_or_never().is_none());
        assert!(is_rejected(&permits.acquire().await));
        drop(waiting);
        drop(permit);
        assert!(permits.acquire().await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn gives_up_after_the_timeout() {
        let permits = HashingPermits::new(1, 3);
        let _permit = permits.acquire().await.unwrap();
        let start = tokio::time::Instant::now();
        assert!(is_rejected(&permits.acquire().await));
        assert_eq!(start.elapsed(), TIMEOUT);
    }
}
