use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use sovd_storage::{Database, StorageError, notifications::Notification};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::commands::work_notifier::WorkNotifier;

/// Delay before the connection that listens is opened again.
const RECONNECT_DELAY: Duration = Duration::from_secs(1);

/// The tasks in progress by their leases, to be stopped when their commands are cancelled. Clones share
/// them.
#[derive(Debug, Clone, Default)]
pub(super) struct Leases(Arc<Mutex<HashMap<Uuid, CancellationToken>>>);

impl Leases {
    /// Returns the token that is cancelled when the holder of the lease has to stop.
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

/// Receives the notifications of other processes. Never returns.
pub(super) async fn listen(database: Database, work_notifier: WorkNotifier, leases: Leases) {
    loop {
        let Err(error) = receive(&database, &work_notifier, &leases).await;
        tracing::warn!(%error, "failed to listen for notifications; retrying");
        sleep(RECONNECT_DELAY).await;
    }
}

async fn receive(
    database: &Database,
    work_notifier: &WorkNotifier,
    leases: &Leases,
) -> Result<std::convert::Infallible, StorageError> {
    let mut listener = database.listen().await?;
    // Notifications sent before are not repeated.
    work_notifier.notify_local();
    loop {
        match listener.next().await? {
            Notification::Work => work_notifier.notify_local(),
            Notification::Cancelled(lease_id) => leases.stop(lease_id),
            Notification::Vehicle(_) => {}
        }
    }
}
