use std::{sync::Arc, thread::available_parallelism, time::Duration};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use crate::error::ServiceError;

/// The maximum number of queue entries.
const MAX_WAITING: usize = 256;

/// The maximum time in the queue.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The `Retry-After` of requests that got no permit.
const RETRY_AFTER: Duration = Duration::from_secs(10);

/// Limits concurrent password hashing, with a bounded first-in, first-out queue.
pub(super) struct HashingPermits {
    permits: Arc<Semaphore>,
    queue: Semaphore,
}

/// Permits one hash at a time until it is dropped.
pub(super) struct HashingPermit(
    #[expect(dead_code, reason = "held for its drop")] OwnedSemaphorePermit,
);

impl HashingPermits {
    /// One permit for every two cores, at least one; the other cores serve requests.
    pub(super) fn for_this_machine() -> Self {
        let cores = available_parallelism().map_or(1, usize::from);
        Self::new((cores / 2).max(1), MAX_WAITING)
    }

    fn new(permits: usize, max_waiting: usize) -> Self {
        Self {
            permits: Arc::new(Semaphore::new(permits)),
            queue: Semaphore::new(max_waiting),
        }
    }

    /// Waits for a permit. Dropping the future leaves the queue.
    ///
    /// # Errors
    ///
    /// [`ServiceError::RateLimited`] if the queue is full or the wait exceeds [`TIMEOUT`].
    pub(super) async fn acquire(&self) -> Result<HashingPermit, ServiceError> {
        let rejected = || ServiceError::RateLimited {
            retry_after: RETRY_AFTER,
        };
        let _queue_entry = self.queue.try_acquire().map_err(|_| rejected())?;
        let permit = Arc::clone(&self.permits).acquire_owned();
        let permit = timeout(TIMEOUT, permit).await.map_err(|_| rejected())?;
        permit.map(HashingPermit).map_err(ServiceError::internal)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt, future::join_all};

    use super::*;

    fn is_rejected(outcome: &Result<HashingPermit, ServiceError>) -> bool {
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

    #[tokio::test]
    async fn dropping_the_future_frees_the_queue_entry() {
        let permits = HashingPermits::new(1, 1);
        let permit = permits.acquire().await.unwrap();
        for _ in 0..10 {
            let mut waiting = permits.acquire().boxed();
            assert!(waiting.as_mut().now_or_never().is_none());
        }
        let mut waiting = permits.acquire().boxed();
        assert!(waiting.as_mut().now_or_never().is_none());
        drop(permit);
        assert!(waiting.await.is_ok());
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
