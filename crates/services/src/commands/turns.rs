use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use sovd_domain::VehicleId;
use sovd_storage::StorageError;
use tokio::{
    sync::{Mutex as AsyncMutex, OwnedMutexGuard},
    time::timeout,
};

/// How long a submission waits for those before it.
const PATIENCE: Duration = Duration::from_secs(10);

/// Lets the submissions to one vehicle through one after the other. In the database they wait for
/// each other anyway; here none of them holds a connection meanwhile, so that a vehicle that is
/// much asked for, or locked by somebody, does not take the pool away from the others.
#[derive(Debug, Default)]
pub(super) struct Turns(Mutex<HashMap<VehicleId, Arc<AsyncMutex<()>>>>);

/// Somebody's turn, until it is dropped.
pub(super) struct Turn<'a> {
    turns: &'a Turns,
    vehicle_id: VehicleId,
    guard: Option<OwnedMutexGuard<()>>,
}

impl Turns {
    /// Waits for a turn.
    pub(super) async fn take(&self, vehicle_id: VehicleId) -> Result<Turn<'_>, StorageError> {
        let lock = Arc::clone(self.lock().entry(vehicle_id).or_default());
        // Dropped when the wait is given up, too, so that nothing is left of it.
        let mut turn = Turn {
            turns: self,
            vehicle_id,
            guard: None,
        };
        let guard = timeout(PATIENCE, lock.lock_owned()).await.map_err(|_| {
            StorageError::Unavailable("too many submissions to one vehicle".to_owned())
        })?;
        turn.guard = Some(guard);
        Ok(turn)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<VehicleId, Arc<AsyncMutex<()>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.guard = None;
        let mut turns = self.turns.lock();
        // Whoever waits has a part in the lock beside the table's.
        let is_idle = |lock: &Arc<AsyncMutex<()>>| Arc::strong_count(lock) == 1;
        if turns.get(&self.vehicle_id).is_some_and(is_idle) {
            turns.remove(&self.vehicle_id);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt, future::join_all};
    use uuid::Uuid;

    use super::*;

    const ONE: VehicleId = VehicleId(Uuid::from_u128(1));
    const OTHER: VehicleId = VehicleId(Uuid::from_u128(2));

    #[tokio::test]
    async fn one_vehicle_has_one_turn_and_another_its_own() {
        let turns = Turns::default();
        let first = turns.take(ONE).await.unwrap();
        assert!(turns.take(ONE).now_or_never().is_none());
        assert!(turns.take(OTHER).now_or_never().is_some());
        drop(first);
        assert!(turns.take(ONE).now_or_never().is_some());
    }

    #[tokio::test]
    async fn nothing_is_left_when_nobody_waits() {
        let turns = Turns::default();
        let waiting = (0..20).map(|_| async {
            let turn = turns.take(ONE).await.unwrap();
            tokio::task::yield_now().await;
            drop(turn);
        });
        join_all(waiting).await;
        assert!(turns.lock().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_ends() {
        let turns = Turns::default();
        let first = turns.take(ONE).await.unwrap();
        assert!(turns.take(ONE).await.is_err());
        drop(first);
        assert!(turns.lock().is_empty());
    }
}
