//! How many requests of one caller are served at the same time.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use crate::error::ServiceError;

/// How many requests of one caller wait for a permit; more are refused at once.
const MOST_WAITING: usize = 256;

/// How long a request waits for a permit.
const PATIENCE: Duration = Duration::from_secs(2);

/// After how long a refused caller should try again.
const RETRY: Duration = Duration::from_secs(1);

/// Bounds the requests of each caller that this process serves at the same time. Further requests wait
/// in the order of their arrival, a bounded number of them for a bounded time.
#[derive(Debug)]
pub struct InFlight<K: Eq + Hash> {
    /// What is bounded, such as `requests`.
    what: &'static str,
    limit: usize,
    /// Has the callers with a request in flight or waiting only, so that it does not grow with the
    /// callers ever seen.
    semaphores: Mutex<HashMap<K, Arc<Semaphore>>>,
}

/// The permit of one request, given back when it is dropped.
#[derive(Debug)]
pub struct Permit<K: Eq + Hash> {
    in_flight: Arc<InFlight<K>>,
    key: K,
    acquired: Option<OwnedSemaphorePermit>,
}

impl<K: Eq + Hash + Clone> InFlight<K> {
    /// Creates a bound of `limit` requests for each caller. `what` names them in refusals.
    pub fn new(what: &'static str, limit: usize) -> Self {
        Self {
            what,
            limit: limit.min(Semaphore::MAX_PERMITS),
            semaphores: Mutex::default(),
        }
    }

    /// Waits for a permit.
    ///
    /// # Errors
    ///
    /// [`ServiceError::TooManyInFlight`] when too many requests of the caller wait already, or none of
    /// those in flight ends in time.
    pub async fn admit(self: &Arc<Self>, key: K) -> Result<Permit<K>, ServiceError> {
        let (mut permit, semaphore) = self.join(key, MOST_WAITING)?;
        let acquiring = timeout(PATIENCE, semaphore.acquire_owned()).await;
        let acquired = acquiring.ok().and_then(Result::ok);
        permit.acquired = Some(acquired.ok_or_else(|| self.refusal())?);
        Ok(permit)
    }

    /// Returns a permit if one is free.
    ///
    /// # Errors
    ///
    /// [`ServiceError::TooManyInFlight`] when none is free.
    pub fn try_admit(self: &Arc<Self>, key: K) -> Result<Permit<K>, ServiceError> {
        let (mut permit, semaphore) = self.join(key, 0)?;
        permit.acquired = Some(semaphore.try_acquire_owned().map_err(|_| self.refusal())?);
        Ok(permit)
    }

    /// Counts a request of the caller, unless `most_waiting` wait already. The permit is empty: dropping
    /// it removes the request from the count when the wait is given up.
    fn join(
        self: &Arc<Self>,
        key: K,
        most_waiting: usize,
    ) -> Result<(Permit<K>, Arc<Semaphore>), ServiceError> {
        let mut semaphores = self.lock();
        let semaphore = semaphores
            .entry(key.clone())
            .or_insert_with(|| Arc::new(Semaphore::new(self.limit)));
        // The map and each request of the caller hold one reference.
        if Arc::strong_count(semaphore) > self.limit.saturating_add(most_waiting) {
            return Err(self.refusal());
        }
        let semaphore = Arc::clone(semaphore);
        drop(semaphores);
        let permit = Permit {
            in_flight: Arc::clone(self),
            key,
            acquired: None,
        };
        Ok((permit, semaphore))
    }

    fn refusal(&self) -> ServiceError {
        ServiceError::TooManyInFlight {
            what: self.what,
            limit: self.limit,
            retry_after: RETRY,
        }
    }
}

impl<K: Eq + Hash> InFlight<K> {
    fn lock(&self) -> MutexGuard<'_, HashMap<K, Arc<Semaphore>>> {
        self.semaphores
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Eq + Hash> Drop for Permit<K> {
    fn drop(&mut self) {
        let mut semaphores = self.in_flight.lock();
        // Under the lock of the map, or two permits could each see the reference of the other.
        self.acquired = None;
        let is_idle = |semaphore: &Arc<Semaphore>| Arc::strong_count(semaphore) == 1;
        if semaphores.get(&self.key).is_some_and(is_idle) {
            semaphores.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt, future::join_all};

    use super::*;

    const ONE: u8 = 1;
    const OTHER: u8 = 2;

    fn requests(limit: usize) -> Arc<InFlight<u8>> {
        Arc::new(InFlight::new("requests", limit))
    }

    #[tokio::test]
    async fn admits_up_to_the_limit_and_others_beside_it() {
        let requests = requests(2);
        let first = requests.admit(ONE).await.unwrap();
        let second = requests.admit(ONE).await.unwrap();
        let mut third = Box::pin(requests.admit(ONE));
        assert!((&mut third).now_or_never().is_none());
        assert!(requests.admit(OTHER).now_or_never().unwrap().is_ok());
        drop(first);
        let third = third.now_or_never().unwrap().unwrap();
        drop((second, third));
        assert!(requests.lock().is_empty());
    }

    #[tokio::test]
    async fn admits_in_the_order_of_arrival() {
        let requests = requests(1);
        let first = requests.admit(ONE).await.unwrap();
        let mut second = Box::pin(requests.admit(ONE));
        let mut third = Box::pin(requests.admit(ONE));
        assert!((&mut second).now_or_never().is_none());
        assert!((&mut third).now_or_never().is_none());
        drop(first);
        assert!((&mut third).now_or_never().is_none());
        assert!(second.now_or_never().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn refuses_when_the_wait_is_over() {
        let requests = requests(1);
        let first = requests.admit(ONE).await.unwrap();
        let refused = requests.admit(ONE).await.unwrap_err();
        assert!(
            matches!(refused, ServiceError::TooManyInFlight { limit: 1, .. }),
            "{refused:?}"
        );
        drop(first);
        assert!(requests.lock().is_empty());
        assert!(requests.admit(ONE).await.is_ok());
    }

    #[tokio::test]
    async fn refuses_at_once_when_too_many_wait() {
        let requests = requests(1);
        let first = requests.admit(ONE).await.unwrap();
        let mut waiting: Vec<_> = (0..MOST_WAITING)
            .map(|_| Box::pin(requests.admit(ONE)))
            .collect();
        for waiting in &mut waiting {
            assert!(waiting.now_or_never().is_none());
        }
        assert!(requests.admit(ONE).now_or_never().unwrap().is_err());
        // A request that is given up, as when its client disconnects, makes room for another.
        waiting.pop();
        assert!(requests.admit(ONE).now_or_never().is_none());
        drop(waiting);
        drop(first);
        assert!(requests.lock().is_empty());
    }

    #[tokio::test]
    async fn try_admit_does_not_wait() {
        let requests = requests(2);
        let first = requests.try_admit(ONE).unwrap();
        let second = requests.try_admit(ONE).unwrap();
        assert!(requests.try_admit(ONE).is_err());
        assert!(requests.try_admit(OTHER).is_ok());
        drop(first);
        drop((requests.try_admit(ONE).unwrap(), second));
        assert!(requests.lock().is_empty());
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn never_exceeds_the_limit_and_forgets_idle_callers() {
        let requests = requests(3);
        let running = Arc::new(Semaphore::new(3));
        let all = (0..200).map(|_| {
            let (requests, running) = (Arc::clone(&requests), Arc::clone(&running));
            tokio::spawn(async move {
                let permit = requests.admit(ONE).await.unwrap();
                let place = running.try_acquire().unwrap();
                tokio::task::yield_now().await;
                drop((place, permit));
            })
        });
        for outcome in join_all(all).await {
            outcome.unwrap();
        }
        assert!(requests.lock().is_empty());
    }
}
