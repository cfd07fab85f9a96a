mod bulk_reads;

use std::{
    ops::{Deref, DerefMut},
    sync::Arc,
    time::Duration,
};

use diesel::{ConnectionError, result::Error as DieselError, sql_query};
use diesel_async::{
    AnsiTransactionManager, AsyncConnection, AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection,
    TransactionManager,
    pooled_connection::{
        AsyncDieselConnectionManager, ManagerConfig, PoolError, PoolableConnection,
        RecyclingMethod,
        bb8::{Pool, PooledConnection},
    },
};
use futures_util::{FutureExt, future::ready};
use tokio::runtime::Handle;

use self::bulk_reads::BulkReads;
use crate::{error::StorageError, signals::Listener};

/// One connection to PostgreSQL, what every repository function takes.
pub type Connection = AsyncPgConnection;

/// A pool of connections. Clones share it.
#[derive(Clone)]
pub struct Database {
    pool: Pool<Connection>,
    bulk_reads: BulkReads,
    url: Arc<str>,
    runtime: Handle,
}

/// How many connections the pool keeps and how long it makes a caller wait.
#[derive(Debug, Clone, Copy)]
pub struct PoolSettings {
    /// Connections kept open.
    pub size: u32,
    /// Further ones opened under load.
    pub overflow: u32,
    /// How long a caller waits for a connection.
    pub checkout_timeout: Duration,
}

impl Database {
    /// Makes a pool for the database at `url` without waiting for a connection.
    ///
    /// Every connection is opened on the runtime that calls this. Its driver task must outlive
    /// the HTTP worker whose request happened to need it.
    pub fn new(url: &str, settings: PoolSettings) -> Self {
        let runtime = Handle::current();
        let url = bounded(url);
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
        config.custom_setup = Box::new(move |url| open(&opens_on, url).boxed());
        let pool = Pool::builder()
            .min_idle(settings.size)
            .max_size(settings.size.saturating_add(settings.overflow).max(1))
            .connection_timeout(settings.checkout_timeout)
            .build_unchecked(AsyncDieselConnectionManager::new_with_config(
                url.as_str(),
                config,
            ));
        Self {
            pool,
            bulk_reads: BulkReads::new(&settings),
            url: url.into(),
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

    /// Asks the database for a sign of life.
    ///
    /// # Errors
    ///
    /// [`StorageError::Unavailable`] when there is none.
    pub async fn ping(&self) -> Result<(), StorageError> {
        let mut connection = self.checkout().await?;
        sql_query("SELECT 1").execute(&mut *connection).await?;
        Ok(())
    }

    /// Opens a connection beside the pool that hears the signals of every process.
    ///
    /// # Errors
    ///
    /// [`StorageError::Unavailable`] when the database cannot be reached.
    pub async fn listen(&self) -> Result<Listener, StorageError> {
        let connection = open(&self.runtime, &self.url)
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

/// What the server is to give up on. A host that dies says no goodbye: without these its locks
/// would stand for hours, and whoever waits for them with it.
const SERVER_LIMITS: &str = "
    SET lock_timeout = '5s';
    SET statement_timeout = '30s';
    SET idle_in_transaction_session_timeout = '10s';
    SET tcp_keepalives_idle = 15;
    SET tcp_keepalives_interval = 5;
    SET tcp_keepalives_count = 3;
    SET tcp_user_timeout = '10s'";

/// Opens a connection whose driver lives on `runtime`.
fn open(
    runtime: &Handle,
    url: &str,
) -> impl Future<Output = Result<Connection, ConnectionError>> + Send + use<> {
    let url = url.to_owned();
    let opening = runtime.spawn(async move {
        let mut connection = Connection::establish(&url).await?;
        connection
            .batch_execute(SERVER_LIMITS)
            .await
            .map_err(ConnectionError::CouldntSetupConfiguration)?;
        Ok(connection)
    });
    async move {
        opening.await.unwrap_or_else(|error| {
            Err(ConnectionError::BadConnection(format!(
                "opening was called off: {error}"
            )))
        })
    }
}

/// The address with limits for a network that swallows what is sent, in seconds; limits that it
/// has stay.
fn bounded(url: &str) -> String {
    const LIMITS: [(&str, u32); 3] = [
        ("connect_timeout", 5),
        ("tcp_user_timeout", 10),
        ("keepalives_idle", 15),
    ];
    LIMITS.iter().filter(|(name, _)| !url.contains(name)).fold(
        url.to_owned(),
        |bounded, (name, seconds)| {
            let separator = if bounded.contains('?') { '&' } else { '?' };
            format!("{bounded}{separator}{name}={seconds}")
        },
    )
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

#[cfg(test)]
mod tests {
    use super::bounded;

    #[test]
    fn limits_are_added_unless_they_are_there() {
        assert_eq!(
            bounded("postgres://host/db"),
            "postgres://host/db?connect_timeout=5&tcp_user_timeout=10&keepalives_idle=15"
        );
        assert_eq!(
            bounded("postgres://host/db?connect_timeout=1"),
            "postgres://host/db?connect_timeout=1&tcp_user_timeout=10&keepalives_idle=15"
        );
    }
}
