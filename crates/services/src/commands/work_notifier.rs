use std::{sync::Arc, time::Duration};

use sovd_storage::{
    Database, StorageError,
    notifications::{self, Notification},
};
use tokio::{
    sync::Notify,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

/// How long a database may take to spread a piece of news; a sweep finds what was not told.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long to wait after the news could not be spread.
const PAUSE: Duration = Duration::from_secs(1);

/// Tells dispatchers, here and in other processes, that there may be something to claim. Clones
/// share it.
#[derive(Debug, Clone, Default)]
pub struct WorkNotifier(Arc<Notified>);

#[derive(Debug, Default)]
struct Notified {
    here: Notify,
    elsewhere: Notify,
}

impl WorkNotifier {
    /// Tells everybody; never waits.
    pub fn notify(&self) {
        self.notify_local();
        self.0.elsewhere.notify_one();
    }

    /// Tells the dispatcher of this process.
    pub(crate) fn notify_local(&self) {
        self.0.here.notify_one();
    }

    /// Ends when somebody told; news that came meanwhile counts.
    pub(crate) async fn notified(&self) {
        self.0.here.notified().await;
    }

    /// Passes on to other processes what is told here, until `stop`. It is done beside the requests,
    /// once for all that came meanwhile: a NOTIFY inside their transactions would make these commit
    /// one after the other.
    pub async fn spread(self, database: Database, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.0.elsewhere.notified() => {}
            }
            let sent = timeout(PATIENCE, send(&database)).await;
            if !matches!(sent, Ok(Ok(()))) {
                tracing::debug!("other processes will find new work by themselves");
                sleep(PAUSE).await;
            }
        }
    }
}

async fn send(database: &Database) -> Result<(), StorageError> {
    let mut connection = database.connection().await?;
    notifications::send(&mut connection, Notification::Work).await
}
