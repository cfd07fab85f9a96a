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

/// A semaphore for every key. Further holders wait in the order of their arrival, a bounded number of them
/// for a bounded time.
#[derive(Debug)]
pub(crate) struct KeyedPermits<K: Eq + Hash> {
    limit: usize,
    most_waiting: usize,
    timeout: Duration,
    /// Only keys with a permit held or waited for have an entry, so that the map does not grow with the
    /// keys ever seen.
    semaphores: Mutex<HashMap<K, Arc<Semaphore>>>,
}

/// A permit, released when it is dropped.
#[derive(Debug)]
pub struct KeyedPermit<K: Eq + Hash> {
    permits: Arc<KeyedPermits<K>>,
    key: K,
    acquired: Option<OwnedSemaphorePermit>,
}

impl<K: Eq + Hash + Clone> KeyedPermits<K> {
    /// Creates `limit` permits for each key, for which at most `most_waiting` wait, each at most `timeout`.
    pub(crate) fn new(limit: usize, most_waiting: usize, timeout: Duration) -> Self {
        Self {
            limit: limit.min(Semaphore::MAX_PERMITS),
            most_waiting,
            timeout,
            semaphores: Mutex::default(),
        }
    }

    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    /// Waits for a permit. Returns `None` if too many wait already, or the wait times out.
    pub(crate) async fn acquire(self: &Arc<Self>, key: K) -> Option<KeyedPermit<K>> {
        let (mut permit, semaphore) = self.join(key, self.most_waiting)?;
        let acquired = timeout(self.timeout, semaphore.acquire_owned()).await;
        permit.acquired = Some(acquired.ok()?.ok()?);
        Some(permit)
    }

    /// Returns a permit if one is free.
    pub(crate) fn try_acquire(self: &Arc<Self>, key: K) -> Option<KeyedPermit<K>> {
        let (mut permit, semaphore) = self.join(key, 0)?;
        permit.acquired = Some(semaphore.try_acquire_owned().ok()?);
        Some(permit)
    }

    /// Counts a holder, unless `most_waiting` wait already. The permit is empty: dropping it ends the count
    /// of a holder that gives up.
    fn join(
        self: &Arc<Self>,
        key: K,
        most_waiting: usize,
    ) -> Option<(KeyedPermit<K>, Arc<Semaphore>)> {
        let mut semaphores = self.lock();
        let semaphore = semaphores
            .entry(key.clone())
            .or_insert_with(|| Arc::new(Semaphore::new(self.limit)));
        // The map and each holder have one reference.
        if Arc::strong_count(semaphore) > self.limit.saturating_add(most_waiting) {
            return None;
        }
        let semaphore = Arc::clone(semaphore);
        drop(semaphores);
        let permit = KeyedPermit {
            permits: Arc::clone(self),
            key,
            acquired: None,
        };
        Some((permit, semaphore))
    }
}

impl<K: Eq + Hash> KeyedPermits<K> {
    fn lock(&self) -> MutexGuard<'_, HashMap<K, Arc<Semaphore>>> {
        self.semaphores
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Eq + Hash> Drop for KeyedPermit<K> {
    fn drop(&mut self) {
        let mut semaphores = self.permits.lock();
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
    const MOST_WAITING: usize = 20;

    fn permits(limit: usize) -> Arc<KeyedPermits<u8>> {
        let timeout = Duration::from_secs(2);
        Arc::new(KeyedPermits::new(limit, MOST_WAITING, timeout))
    }

    #[tokio::test]
    async fn grants_up_to_the_limit_for_each_key() {
        let permits = permits(2);
        let first = permits.acquire(ONE).await.unwrap();
        let second = permits.acquire(ONE).await.unwrap();
        let mut third = Box::pin(permits.acquire(ONE));
        assert!((&mut third).now_or_never().is_none());
        assert!(permits.acquire(OTHER).now_or_never().unwrap().is_some());
        drop(first);
        let third = third.now_or_never().unwrap().unwrap();
        drop((second, third));
        assert!(permits.lock().is_empty());
    }

    #[tokio::test]
    async fn grants_in_the_order_of_arrival() {
        let permits = permits(1);
        let first = permits.acquire(ONE).await.unwrap();
        let mut second = Box::pin(permits.acquire(ONE));
        let mut third = Box::pin(permits.acquire(ONE));
        assert!((&mut second).now_or_never().is_none());
        assert!((&mut third).now_or_never().is_none());
        drop(first);
        assert!((&mut third).now_or_never().is_none());
        assert!(second.now_or_never().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn refuses_when_the_wait_times_out() {
        let permits = permits(1);
        let first = permits.acquire(ONE).await.unwrap();
        assert!(permits.acquire(ONE).await.is_none());
        drop(first);
        assert!(permits.lock().is_empty());
        assert!(permits.acquire(ONE).await.is_some());
    }

    #[tokio::test]
    async fn refuses_at_once_when_too_many_wait() {
        let permits = permits(1);
        let first = permits.acquire(ONE).await.unwrap();
        let mut waiting: Vec<_> = (0..MOST_WAITING)
            .map(|_| Box::pin(permits.acquire(ONE)))
            .collect();
        for waiting in &mut waiting {
            assert!(waiting.now_or_never().is_none());
        }
        assert!(permits.acquire(ONE).now_or_never().unwrap().is_none());
        // A holder that gives up, as when its client disconnects, makes room for another.
        waiting.pop();
        assert!(permits.acquire(ONE).now_or_never().is_none());
        drop(waiting);
        drop(first);
        assert!(permits.lock().is_empty());
    }

    #[tokio::test]
    async fn try_acquire_does_not_wait() {
        let permits = permits(2);
        let first = permits.try_acquire(ONE).unwrap();
        let second = permits.try_acquire(ONE).unwrap();
        assert!(permits.try_acquire(ONE).is_none());
        assert!(permits.try_acquire(OTHER).is_some());
        drop(first);
        drop((permits.try_acquire(ONE).unwrap(), second));
        assert!(permits.lock().is_empty());
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn never_exceeds_the_limit_and_removes_idle_keys() {
        let permits = Arc::new(KeyedPermits::new(3, 200, Duration::from_secs(10)));
        let running = Arc::new(Semaphore::new(3));
        let all = (0..200).map(|_| {
            let (permits, running) = (Arc::clone(&permits), Arc::clone(&running));
            tokio::spawn(async move {
                let permit = permits.acquire(ONE).await.unwrap();
                let counted = running.try_acquire().unwrap();
                tokio::task::yield_now().await;
                drop((counted, permit));
            })
        });
        for outcome in join_all(all).await {
            outcome.unwrap();
        }
        assert!(permits.lock().is_empty());
    }
}
