mod bulk_reads;

use std::{
    ops::{Deref, DerefMut},
    sync::Arc,
    time::Duration,
};

use diesel::{ConnectionError, ConnectionResult, result::Error as DieselError};
use diesel_async::{
    AnsiTransactionManager, SimpleAsyncConnection, TransactionManager,
    pooled_connection::{
        AsyncDieselConnectionManager, ManagerConfig, PoolError, PoolableConnection,
        RecyclingMethod,
        bb8::{Pool, PooledConnection},
    },
};
use futures_util::{FutureExt, future::ready};
use tokio::{runtime::Handle, time::timeout};

use self::bulk_reads::BulkReads;
use crate::{
    Result, StorageError,
    connection::{Connection, Target},
    notifications::Listener,
};

/// A pool of connections. Clones share it.
#[derive(Clone)]
pub struct Database {
    pool: Pool<Connection>,
    bulk_reads: BulkReads,
    url: Arc<str>,
    statement_timeout: Duration,
    runtime: Handle,
}

/// The size and the timeouts of a pool.
#[derive(Debug, Clone, Copy)]
pub struct PoolSettings {
    /// Connections that are kept open.
    pub size: u32,
    /// Additional connections under load.
    pub overflow: u32,
    /// How long a caller waits for a connection.
    pub checkout_timeout: Duration,
    /// How long the server works on a statement. One second later the client closes the connection.
    pub statement_timeout: Duration,
}

impl Database {
    /// Creates a pool for the database at `url` without waiting for a connection.
    ///
    /// Connections are opened on the current runtime, because the driver task of a connection must outlive
    /// the HTTP worker that requested it.
    pub fn new(url: &str, settings: PoolSettings) -> Self {
        let runtime = Handle::current();
        let statement_timeout = settings.statement_timeout;
        let mut config = ManagerConfig::default();
        // Detects connections that a restart of the database has closed, without a query.
        config.recycling_method =
            RecyclingMethod::CustomFunction(Box::new(|connection: &mut Connection| {
                let usable = if connection.is_broken() {
                    Err(DieselError::BrokenTransactionManager)
                } else {
                    Ok(())
                };
                ready(usable).boxed()
            }));
        let opens_on = runtime.clone();
        config.custom_setup = Box::new(move |url| open(&opens_on, url, statement_timeout).boxed());
        let pool = Pool::builder()
            .min_idle(settings.size)
            .max_size(settings.size.saturating_add(settings.overflow).max(1))
            .connection_timeout(settings.checkout_timeout)
            .build_unchecked(AsyncDieselConnectionManager::new_with_config(url, config));
        Self {
            pool,
            bulk_reads: BulkReads::new(&settings),
            url: url.into(),
            statement_timeout,
            runtime,
        }
    }

    /// Checks out a connection, which returns to the pool when dropped.
    pub async fn connection(&self) -> Result<impl DerefMut<Target = Connection> + Send + use<>> {
        self.checkout().await
    }

    /// Runs `work` in a transaction, which is committed if `work` succeeds and rolled back if it fails.
    ///
    /// # Errors
    ///
    /// Returns the error of `work`, or [`StorageError::Unavailable`] if no connection is free in time
    /// or the commit fails. After a failed commit the outcome is unknown if the connection broke.
    pub async fn transaction<T, E: From<StorageError>>(
        &self,
        work: impl AsyncFnOnce(&mut Transaction) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut transaction = self.begin().await?;
        match work(&mut transaction).await {
            Ok(value) => {
                transaction.commit().await?;
                Ok(value)
            }
            Err(error) => {
                transaction.rollback().await?;
                Err(error)
            }
        }
    }

    /// Begins a transaction, which is rolled back unless it is committed.
    pub async fn begin(&self) -> Result<Transaction> {
        let mut connection = self.checkout().await?;
        AnsiTransactionManager::begin_transaction(&mut *connection).await?;
        Ok(Transaction(connection))
    }

    /// Checks that the database responds within two seconds.
    pub async fn ping(&self) -> Result<()> {
        let mut connection = timeout(PING, self.checkout()).await.map_err(|_| {
            StorageError::Unavailable("no connection was free in time".to_owned())
        })??;
        connection.ping(PING).await?;
        Ok(())
    }

    /// Opens a connection outside the pool that receives the notifications of every process.
    pub async fn listen(&self) -> Result<Listener> {
        let connection = open(&self.runtime, &self.url, self.statement_timeout);
        Listener::on(connection.await?).await
    }

    /// Returns the number of connections in use.
    pub fn connections_in_use(&self) -> u32 {
        let state = self.pool.state();
        state.connections.saturating_sub(state.idle_connections)
    }

    /// Returns the number of checkouts since the pool was created.
    pub fn checkouts(&self) -> u64 {
        self.pool.state().statistics.get_started
    }

    async fn checkout(&self) -> Result<PooledConnection<'static, Connection>> {
        self.pool.get_owned().await.map_err(|error| {
            use diesel_async::pooled_connection::bb8::RunError;
            StorageError::Unavailable(match error {
                RunError::TimedOut => "no connection was free in time".to_owned(),
                RunError::User(PoolError::ConnectionError(error)) => error.to_string(),
                RunError::User(PoolError::QueryError(error)) => error.to_string(),
            })
        })
    }
}

/// How much later than the server the client gives up on a statement. A responsive server cancels it first,
/// which keeps the connection usable.
const GRACE: Duration = Duration::from_secs(1);

/// How long [`Database::ping`] waits for a connection, and then for a response.
const PING: Duration = Duration::from_secs(1);

/// Returns the settings that limit how long a client that died silently can hold locks.
fn server_limits(statement_timeout: Duration) -> String {
    let statement_ms = statement_timeout.as_millis();
    format!(
        "SET lock_timeout = '5s';
         SET statement_timeout = {statement_ms};
         SET idle_in_transaction_session_timeout = '10s';
         SET tcp_keepalives_idle = 15;
         SET tcp_keepalives_interval = 5;
         SET tcp_keepalives_count = 3;
         SET tcp_user_timeout = '10s'"
    )
}

/// Opens a connection whose driver runs on `runtime`.
fn open(
    runtime: &Handle,
    url: &str,
    statement_timeout: Duration,
) -> impl Future<Output = ConnectionResult<Connection>> + Send + use<> {
    let url = url.to_owned();
    let task = runtime.spawn(async move {
        let mut connection = Target::parse(&url)?.connect().await?;
        connection.set_deadline(statement_timeout + GRACE);
        connection
            .batch_execute(&server_limits(statement_timeout))
            .await
            .map_err(ConnectionError::CouldntSetupConfiguration)?;
        Ok(connection)
    });
    async move {
        let opened = task.await.unwrap_or_else(|error| {
            Err(ConnectionError::BadConnection(format!(
                "opening was canceled: {error}"
            )))
        });
        opened.inspect_err(|error| tracing::debug!(%error, "failed to open a connection"))
    }
}

/// An open transaction, which dereferences to its connection.
///
/// If it is dropped without a commit, its connection is closed and PostgreSQL rolls back.
/// [`rollback`](Self::rollback) returns the connection to the pool instead.
pub struct Transaction(PooledConnection<'static, Connection>);

impl Transaction {
    /// Commits the transaction.
    ///
    /// # Errors
    ///
    /// Any [`StorageError`]. The transaction was rolled back, unless the connection broke during the
    /// commit: then its outcome is unknown.
    pub async fn commit(mut self) -> Result<()> {
        AnsiTransactionManager::commit_transaction(&mut *self.0).await?;
        Ok(())
    }

    /// Rolls the transaction back.
    ///
    /// # Errors
    ///
    /// [`StorageError::Unavailable`] if the connection is broken, which rolls back, too.
    pub async fn rollback(mut self) -> Result<()> {
        AnsiTransactionManager::rollback_transaction(&mut *self.0).await?;
        Ok(())
    }
}

impl Deref for Transaction {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.0
    }
}

impl DerefMut for Transaction {
    fn deref_mut(&mut self) -> &mut Connection {
        &mut self.0
    }
}
