use std::{
    ops::{Deref, DerefMut},
    sync::Arc,
    time::Duration,
};

use diesel::sql_query;
use diesel_async::RunQueryDsl;
use tokio::{runtime::Handle, sync::Semaphore, time::timeout};

use super::{Connection, Database, PoolSettings};
use crate::StorageError;

/// One connection in this many may be used by bulk reads at a time.
const SHARE: u32 = 3;

/// The part of a pool that bulk reads may use: lists, summaries and the pages of exports. The rest is
/// always left to reads of single rows and to changes. Clones share it.
#[derive(Clone)]
pub(super) struct BulkReads {
    permits: Arc<Semaphore>,
    timeout: Duration,
}

impl BulkReads {
    pub(super) fn new(settings: &PoolSettings) -> Self {
        let connections = settings.size.saturating_add(settings.overflow);
        let permits = usize::try_from(connections / SHARE).unwrap_or(usize::MAX);
        Self {
            permits: Arc::new(Semaphore::new(permits.clamp(1, Semaphore::MAX_PERMITS))),
            timeout: settings.checkout_timeout,
        }
    }
}

impl Database {
    /// Takes a connection for a read that may be expensive. A third of the pool serves such reads.
    ///
    /// When the connection is dropped, the server may still be busy with a statement whose caller has
    /// disconnected. It goes back to the pool, and `permit` is dropped, only after the server has
    /// finished.
    ///
    /// # Errors
    ///
    /// [`StorageError::Unavailable`] when none is free in time.
    pub async fn bulk_connection<P: Send + 'static>(
        &self,
        permit: P,
    ) -> Result<impl DerefMut<Target = Connection> + Send + use<P>, StorageError> {
        let bulk_reads = self.bulk_reads.clone();
        let acquiring = timeout(bulk_reads.timeout, bulk_reads.permits.acquire_owned());
        let Ok(Ok(share)) = acquiring.await else {
            let reason = "no connection for bulk reads was free in time";
            return Err(StorageError::Unavailable(reason.to_owned()));
        };
        let connection = self.connection().await?;
        Ok(BulkConnection {
            held: Some((connection, (share, permit))),
            runtime: self.runtime.clone(),
        })
    }
}

/// A connection with the permits to use it.
struct BulkConnection<C, P>
where
    C: DerefMut<Target = Connection> + Send + 'static,
    P: Send + 'static,
{
    /// Taken when it is dropped.
    held: Option<(C, P)>,
    runtime: Handle,
}

impl<C, P> Deref for BulkConnection<C, P>
where
    C: DerefMut<Target = Connection> + Send + 'static,
    P: Send + 'static,
{
    type Target = Connection;

    #[expect(clippy::expect_used, reason = "only `drop` takes the connection")]
    fn deref(&self) -> &Connection {
        let (connection, _) = self.held.as_ref().expect("the connection is held");
        connection
    }
}

impl<C, P> DerefMut for BulkConnection<C, P>
where
    C: DerefMut<Target = Connection> + Send + 'static,
    P: Send + 'static,
{
    #[expect(clippy::expect_used, reason = "only `drop` takes the connection")]
    fn deref_mut(&mut self) -> &mut Connection {
        let (connection, _) = self.held.as_mut().expect("the connection is held");
        connection
    }
}

impl<C, P> Drop for BulkConnection<C, P>
where
    C: DerefMut<Target = Connection> + Send + 'static,
    P: Send + 'static,
{
    fn drop(&mut self) {
        let Some((mut connection, permits)) = self.held.take() else {
            return;
        };
        if !connection.is_unfinished() {
            return;
        }
        self.runtime.spawn(async move {
            // The server answers in order, so this answer comes after it has finished the statement
            // before. A connection that fails here is broken, and the pool discards it.
            let _ = sql_query("SELECT 1").execute(&mut *connection).await;
            drop(connection);
            drop(permits);
        });
    }
}
