use std::{
    ops::{Deref, DerefMut},
    sync::Arc,
    time::Duration,
};

use diesel::sql_query;
use diesel_async::{RunQueryDsl, pooled_connection::bb8::PooledConnection};
use tokio::{
    runtime::Handle,
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use super::{Connection, Database, PoolSettings};
use crate::{Result, StorageError};

/// Bulk reads may use one in this many connections.
const SHARE: u32 = 3;

/// The part of a pool that bulk reads may use: lists, summaries and pages of exports. The rest is reserved
/// for reads of single rows and for changes. Clones share it.
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
    /// Checks out a connection for a read that may be expensive. A third of the pool serves such reads.
    ///
    /// When the connection is dropped, the server may still execute a statement whose caller has
    /// disconnected. The connection returns to the pool, and `permit` is dropped, only after the server
    /// has finished.
    pub async fn bulk_connection<P: Send + 'static>(
        &self,
        permit: P,
    ) -> Result<impl DerefMut<Target = Connection> + Send + use<P>> {
        let bulk_reads = self.bulk_reads.clone();
        let share = timeout(bulk_reads.timeout, bulk_reads.permits.acquire_owned()).await;
        let Ok(Ok(share)) = share else {
            let reason = "no connection for bulk reads was free in time";
            return Err(StorageError::Unavailable(reason.to_owned()));
        };
        let connection = self.checkout().await?;
        Ok(BulkConnection {
            inner: Some((connection, share, permit)),
            runtime: self.runtime.clone(),
        })
    }
}

/// A connection with the permits to use it.
struct BulkConnection<P: Send + 'static> {
    /// Present until the drop.
    inner: Option<(
        PooledConnection<'static, Connection>,
        OwnedSemaphorePermit,
        P,
    )>,
    runtime: Handle,
}

impl<P: Send + 'static> Deref for BulkConnection<P> {
    type Target = Connection;

    #[expect(clippy::expect_used, reason = "only `drop` takes the connection")]
    fn deref(&self) -> &Connection {
        let (connection, ..) = self.inner.as_ref().expect("the connection is present");
        connection
    }
}

impl<P: Send + 'static> DerefMut for BulkConnection<P> {
    #[expect(clippy::expect_used, reason = "only `drop` takes the connection")]
    fn deref_mut(&mut self) -> &mut Connection {
        let (connection, ..) = self.inner.as_mut().expect("the connection is present");
        connection
    }
}

impl<P: Send + 'static> Drop for BulkConnection<P> {
    fn drop(&mut self) {
        let Some((mut connection, share, permit)) = self.inner.take() else {
            return;
        };
        if !connection.is_unfinished() {
            return;
        }
        self.runtime.spawn(async move {
            // The server executes statements in order, so this one completes after the previous one. A
            // connection that fails here is broken, and the pool discards it.
            let _ = sql_query("SELECT 1").execute(&mut *connection).await;
            drop(connection);
            drop((share, permit));
        });
    }
}
