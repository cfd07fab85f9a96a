use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use sovd_storage::{
    Database, StorageError,
    notifications::{self, Notification},
};
use tokio::{
    sync::Notify,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

/// The timeout of a notification. Sweeps find work that was not announced.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The delay after a failed notification.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// Notifies the dispatchers of this process and of others that there may be tasks to claim. Clones share
/// their state.
#[derive(Debug, Clone, Default)]
pub struct WorkNotifier(Arc<Notified>);

#[derive(Debug, Default)]
struct Notified {
    local: Notify,
    remote: Notify,
    /// Whether a dispatcher of this process claims tasks.
    claims: AtomicBool,
    /// Whether this process has new tasks of which other processes do not know.
    is_unannounced: AtomicBool,
}

/// Marks that the dispatcher of this process claims tasks, until it is dropped.
pub(crate) struct Claiming(WorkNotifier);

impl Drop for Claiming {
    fn drop(&mut self) {
        self.0.0.claims.store(false, Ordering::Relaxed);
    }
}

impl WorkNotifier {
    /// Notifies the dispatcher of this process, or those of other processes if it has none, without waiting.
    /// A dispatcher that cannot take all tasks notifies the others.
    pub fn notify(&self) {
        if self.0.claims.load(Ordering::Relaxed) {
            self.0.is_unannounced.store(true, Ordering::Relaxed);
        } else {
            self.notify_remote();
        }
        self.notify_local();
    }

    /// Notifies the dispatchers of other processes.
    pub(crate) fn notify_remote(&self) {
        self.0.remote.notify_one();
    }

    /// Returns whether there may be new tasks of which other processes do not know, for a dispatcher that is
    /// about to claim tasks and notifies the others if it cannot take all of them.
    pub(crate) fn take_unannounced(&self) -> bool {
        self.0.is_unannounced.swap(false, Ordering::Relaxed)
    }

    /// Marks that the dispatcher of this process claims tasks.
    pub(crate) fn claims_here(&self) -> Claiming {
        self.0.claims.store(true, Ordering::Relaxed);
        Claiming(self.clone())
    }

    /// Notifies the dispatcher of this process.
    pub(crate) fn notify_local(&self) {
        self.0.local.notify_one();
    }

    /// Waits for a notification. One that arrived since the last call counts.
    pub(crate) async fn notified(&self) {
        self.0.local.notified().await;
    }

    /// Forwards notifications to other processes until `stop`. Runs in the background and combines
    /// notifications, because a NOTIFY inside the transactions of requests would serialize their commits.
    pub async fn forward(self, database: Database, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.0.remote.notified() => {}
            }
            let sent = timeout(TIMEOUT, send(&database)).await;
            if !matches!(sent, Ok(Ok(()))) {
                tracing::debug!("failed to notify other processes of new work");
                sleep(RETRY_DELAY).await;
            }
        }
    }
}

async fn send(database: &Database) -> Result<(), StorageError> {
    let mut connection = database.connection().await?;
    notifications::send(&mut connection, Notification::Work).await
}
