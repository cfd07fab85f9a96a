use std::{sync::Arc, thread::available_parallelism, time::Duration};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use crate::error::ServiceError;

/// How many may wait for a place.
const WAITING: usize = 256;

/// How long one waits for a place.
const PATIENCE: Duration = Duration::from_secs(30);

/// When to try again, for whoever got no place.
const RETRY: Duration = Duration::from_secs(10);

/// Lets a few hash at a time, in the order in which they came, and a bounded number wait.
pub(super) struct HashingPermits {
    free: Arc<Semaphore>,
    waiting: Semaphore,
}

/// The right to hash, until it is dropped.
pub(super) struct Place(#[expect(dead_code, reason = "held for its drop")] OwnedSemaphorePermit);

impl HashingPermits {
    /// A place for every second core, so that the other half is the API's; at least one.
    pub(super) fn for_this_machine() -> Self {
        let cores = available_parallelism().map_or(1, usize::from);
        Self::new((cores / 2).max(1), WAITING)
    }

    fn new(places: usize, waiting: usize) -> Self {
        Self {
            free: Arc::new(Semaphore::new(places)),
            waiting: Semaphore::new(waiting),
        }
    }

    /// Waits for a place. A caller that goes away meanwhile does not wait any more.
    ///
    /// # Errors
    ///
    /// [`ServiceError::RateLimited`] when too many wait already or it takes too long.
    pub(super) async fn take(&self) -> Result<Place, ServiceError> {
        let full = || ServiceError::RateLimited { retry_after: RETRY };
        let _waiting = self.waiting.try_acquire().map_err(|_| full())?;
        let free = Arc::clone(&self.free).acquire_owned();
        let permit = timeout(PATIENCE, free).await.map_err(|_| full())?;
        permit.map(Place).map_err(ServiceError::internal)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt, future::join_all};

    use super::*;

    fn is_refused(taken: &Result<Place, ServiceError>) -> bool {
        matches!(taken, Err(ServiceError::RateLimited { retry_after }) if *retry_after == RETRY)
    }

    #[tokio::test]
    async fn one_more_than_may_wait_is_refused() {
        let places = HashingPermits::new(1, 3);
        let place = places.take().await.unwrap();
        let mut waiting = join_all((0..3).map(|_| places.take())).boxed();
        assert!(waiting.as_mut().now_or_never().is_none());
        assert!(is_refused(&places.take().await));
        drop(waiting);
        drop(place);
        assert!(places.take().await.is_ok());
    }

    #[tokio::test]
    async fn whoever_goes_away_gives_the_place_in_the_queue_back() {
        let places = HashingPermits::new(1, 1);
        let place = places.take().await.unwrap();
        for _ in 0..10 {
            let mut waiting = places.take().boxed();
            assert!(waiting.as_mut().now_or_never().is_none());
        }
        let mut waiting = places.take().boxed();
        assert!(waiting.as_mut().now_or_never().is_none());
        drop(place);
        assert!(waiting.await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_longer_than_the_patience() {
        let places = HashingPermits::new(1, 3);
        let _place = places.take().await.unwrap();
        let begun = tokio::time::Instant::now();
        assert!(is_refused(&places.take().await));
        assert_eq!(begun.elapsed(), PATIENCE);
    }
}
