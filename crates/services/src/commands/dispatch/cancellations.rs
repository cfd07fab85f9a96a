use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use sovd_storage::{Database, StorageError, signals::Signal};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::commands::work_notifier::WorkNotifier;

/// How long to wait before the database is asked again for its signals.
const PAUSE: Duration = Duration::from_secs(1);

/// The executions of this process, by their leases, to be stopped when somebody calls their command
/// off. Clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct Leases(Arc<Mutex<HashMap<Uuid, CancellationToken>>>);

impl Leases {
    /// The token that is cancelled when the holder of the lease is to stop.
    pub(super) fn add(&self, lease_id: Uuid) -> CancellationToken {
        let token = CancellationToken::new();
        self.lock().insert(lease_id, token.clone());
        token
    }

    pub(super) fn remove(&self, lease_id: Uuid) {
        self.lock().remove(&lease_id);
    }

    fn stop(&self, lease_id: Uuid) {
        if let Some(token) = self.lock().get(&lease_id) {
            token.cancel();
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Uuid, CancellationToken>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Hears what other processes say, for as long as it is polled.
pub(super) async fn listen(database: Database, work_notifier: WorkNotifier, leases: Leases) {
    loop {
        let Err(error) = hear(&database, &work_notifier, &leases).await;
        tracing::warn!(%error, "cannot hear other processes, trying again");
        sleep(PAUSE).await;
    }
}

async fn hear(
    database: &Database,
    work_notifier: &WorkNotifier,
    leases: &Leases,
) -> Result<std::convert::Infallible, StorageError> {
    let mut listener = database.listen().await?;
    // What was said before is not repeated.
    work_notifier.notify_local();
    loop {
        match listener.next().await? {
            Signal::Work => work_notifier.notify_local(),
            Signal::CalledOff(lease_id) => leases.stop(lease_id),
            Signal::Vehicle(_) => {}
        }
    }
}
