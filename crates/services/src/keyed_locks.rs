use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use sovd_storage::StorageError;
use tokio::{
    sync::{Mutex as AsyncMutex, OwnedMutexGuard},
    time::timeout,
};

/// How long somebody waits for those before.
const PATIENCE: Duration = Duration::from_secs(10);

/// Lets those who name the same thing through one after the other. In the database they wait for each
/// other anyway; here none of them holds a connection meanwhile, so that a thing that is much asked
/// for, or locked by somebody, does not take the pool away from the others.
#[derive(Debug)]
pub(crate) struct KeyedLocks<K: Eq + Hash> {
    /// What they do, such as `submissions to one vehicle`.
    what: &'static str,
    /// How many may have a turn or wait for it at a time.
    most: usize,
    locks: Mutex<HashMap<K, Arc<AsyncMutex<()>>>>,
}

/// Somebody's turn, until it is dropped.
pub(crate) struct KeyedLockGuard<'a, K: Eq + Hash> {
    turns: &'a KeyedLocks<K>,
    key: K,
    guard: Option<OwnedMutexGuard<()>>,
}

impl<K: Eq + Hash + Clone> KeyedLocks<K> {
    /// Nobody waits. Of `what`, no more than `most` may with one name.
    pub(crate) fn new(what: &'static str, most: usize) -> Self {
        Self {
            what,
            most,
            locks: Mutex::default(),
        }
    }

    /// Waits for a turn.
    ///
    /// # Errors
    ///
    /// [`StorageError::Unavailable`] when too many wait already, or it does not come in time.
    pub(crate) async fn lock(&self, key: K) -> Result<KeyedLockGuard<'_, K>, StorageError> {
        let too_many = || StorageError::Unavailable(format!("too many {}", self.what));
        let lock = {
            let mut locks = self.table();
            let lock = locks.entry(key.clone()).or_default();
            // All of them have a part in the lock beside the table's.
            if Arc::strong_count(lock) > self.most {
                return Err(too_many());
            }
            Arc::clone(lock)
        };
        // Dropped when the wait is given up, too, so that nothing is left of it.
        let mut turn = KeyedLockGuard {
            turns: self,
            key,
            guard: None,
        };
        let guard = timeout(PATIENCE, lock.lock_owned()).await;
        turn.guard = Some(guard.map_err(|_| too_many())?);
        Ok(turn)
    }
}

impl<K: Eq + Hash> KeyedLocks<K> {
    fn table(&self) -> MutexGuard<'_, HashMap<K, Arc<AsyncMutex<()>>>> {
        self.locks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Eq + Hash> Drop for KeyedLockGuard<'_, K> {
    fn drop(&mut self) {
        self.guard = None;
        let mut locks = self.turns.table();
        let is_idle = |lock: &Arc<AsyncMutex<()>>| Arc::strong_count(lock) == 1;
        if locks.get(&self.key).is_some_and(is_idle) {
            locks.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt, future::join_all};

    use super::*;

    const ONE: u8 = 1;
    const OTHER: u8 = 2;

    fn turns() -> KeyedLocks<u8> {
        KeyedLocks::new("calls", 20)
    }

    #[tokio::test]
    async fn one_thing_has_one_turn_and_another_its_own() {
        let turns = turns();
        let first = turns.lock(ONE).await.unwrap();
        assert!(turns.lock(ONE).now_or_never().is_none());
        assert!(turns.lock(OTHER).now_or_never().is_some());
        drop(first);
        assert!(turns.lock(ONE).now_or_never().is_some());
    }

    #[tokio::test]
    async fn nothing_is_left_when_nobody_waits() {
        let turns = turns();
        let waiting = (0..20).map(|_| async {
            let turn = turns.lock(ONE).await.unwrap();
            tokio::task::yield_now().await;
            drop(turn);
        });
        join_all(waiting).await;
        assert!(turns.table().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_ends() {
        let turns = turns();
        let first = turns.lock(ONE).await.unwrap();
        assert!(turns.lock(ONE).await.is_err());
        drop(first);
        assert!(turns.table().is_empty());
    }

    #[tokio::test]
    async fn no_more_than_so_many_have_a_turn_or_wait() {
        let turns = KeyedLocks::new("calls", 2);
        let first = turns.lock(ONE).await.unwrap();
        let mut second = Box::pin(turns.lock(ONE));
        assert!((&mut second).now_or_never().is_none());
        assert!(matches!(turns.lock(ONE).now_or_never(), Some(Err(_))));
        assert!(turns.lock(OTHER).now_or_never().is_some());
        drop(first);
        drop(second.await.unwrap());
        assert!(
            turns
                .lock(ONE)
                .now_or_never()
                .is_some_and(|turn| turn.is_ok())
        );
    }
}
