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
    connection::{Connection, Target},
    error::StorageError,
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

/// How many connections the pool keeps, and how long a caller and a statement may take.
#[derive(Debug, Clone, Copy)]
pub struct PoolSettings {
    /// Connections kept open.
    pub size: u32,
    /// Further ones opened under load.
    pub overflow: u32,
    /// How long a caller waits for a connection.
    pub checkout_timeout: Duration,
    /// How long the server works on one statement. A second later the client gives up, too, and
    /// closes the connection.
    pub statement_timeout: Duration,
}

impl Database {
    /// Makes a pool for the database at `url` without waiting for a connection.
    ///
    /// Every connection is opened on the runtime that calls this. Its driver task must outlive
    /// the HTTP worker whose request happened to need it.
    pub fn new(url: &str, settings: PoolSettings) -> Self {
        let runtime = Handle::current();
        let statement_timeout = settings.statement_timeout;
        let mut config = ManagerConfig::default();
        // A restart of the database closes every idle connection. A look at the socket finds
        // them without a question to the server, so that no caller is lent one.
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

    /// Takes a connection from the pool; it goes back when dropped.
    ///
    /// # Errors
    ///
    /// [`StorageError::Unavailable`] when none is free in time.
    pub async fn connection(
        &self,
    ) -> Result<impl DerefMut<Target = Connection> + Send + use<>, StorageError> {
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

    /// Opens a transaction. Unless it is committed, it never happened.
    ///
    /// # Errors
    ///
    /// [`StorageError::Unavailable`] when no connection is free in time.
    pub async fn begin(&self) -> Result<Transaction, StorageError> {
        let mut connection = self.checkout().await?;
        AnsiTransactionManager::begin_transaction(&mut *connection).await?;
        Ok(Transaction(connection))
    }

    /// Asks the database for a sign of life, for two seconds at most.
    ///
    /// # Errors
    ///
    /// [`StorageError::Unavailable`] when there is none.
    pub async fn ping(&self) -> Result<(), StorageError> {
        let mut connection = timeout(PING, self.checkout()).await.map_err(|_| {
            StorageError::Unavailable("no connection was free in time".to_owned())
        })??;
        connection.ping(PING).await?;
        Ok(())
    }

    /// Opens a connection beside the pool that receives the notifications of all processes.
    ///
    /// # Errors
    ///
    /// [`StorageError::Unavailable`] when the database cannot be reached.
    pub async fn listen(&self) -> Result<Listener, StorageError> {
        let connection = open(&self.runtime, &self.url, self.statement_timeout)
            .await
            .map_err(|error| StorageError::Unavailable(error.to_string()))?;
        Listener::on(connection).await
    }

    /// Connections now lent out; 0 when nobody is at work.
    pub fn connections_in_use(&self) -> u32 {
        let state = self.pool.state();
        state.connections.saturating_sub(state.idle_connections)
    }

    /// How often a connection was asked for since the pool was made.
    pub fn checkouts(&self) -> u64 {
        self.pool.state().statistics.get_started
    }

    async fn checkout(&self) -> Result<PooledConnection<'static, Connection>, StorageError> {
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

/// How much later than the server the client gives up on a statement, so that a server that
/// works cancels it and the connection survives.
const GRACE: Duration = Duration::from_secs(1);

/// How long [`Database::ping`] waits for a connection, and then for its answer.
const PING: Duration = Duration::from_secs(1);

/// What the server gives up on. A host that dies in silence would otherwise keep its locks, and
/// those who wait for them, for hours.
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

/// Opens a connection whose driver lives on `runtime`.
fn open(
    runtime: &Handle,
    url: &str,
    statement_timeout: Duration,
) -> impl Future<Output = ConnectionResult<Connection>> + Send + use<> {
    let url = url.to_owned();
    let opening = runtime.spawn(async move {
        let mut connection = Target::parse(&url)?.connect().await?;
        connection.set_deadline(statement_timeout + GRACE);
        connection
            .batch_execute(&server_limits(statement_timeout))
            .await
            .map_err(ConnectionError::CouldntSetupConfiguration)?;
        Ok(connection)
    });
    async move {
        let opened = opening.await.unwrap_or_else(|error| {
            Err(ConnectionError::BadConnection(format!(
                "opening was canceled: {error}"
            )))
        });
        opened.inspect_err(|error| tracing::debug!(%error, "failed to open a connection"))
    }
}

/// An open transaction, used like a connection.
///
/// Dropped without a commit it closes its connection, and PostgreSQL rolls back; that is what a
/// caller who went away in the middle deserves. A refusal that is expected should call
/// [`Transaction::rollback`], which gives the connection back.
pub struct Transaction(PooledConnection<'static, Connection>);

impl Transaction {
    /// Makes it so.
    ///
    /// # Errors
    ///
    /// When the database cannot commit; nothing has happened then, unless the connection broke
    /// in between, in which case nobody can tell.
    pub async fn commit(mut self) -> Result<(), StorageError> {
        AnsiTransactionManager::commit_transaction(&mut *self.0).await?;
        Ok(())
    }

    /// Undoes everything.
    ///
    /// # Errors
    ///
    /// When the connection is broken; nothing has happened then either.
    pub async fn rollback(mut self) -> Result<(), StorageError> {
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
