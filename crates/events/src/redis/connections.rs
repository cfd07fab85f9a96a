use std::{sync::Arc, time::Duration};

use bb8_redis::{
    bb8::{ManageConnection, Pool, PooledConnection, RunError},
    redis::{Client, Cmd, ErrorKind, Pipeline, RedisError, aio::MultiplexedConnection, cmd},
};
use parking_lot::Mutex;
use tokio::runtime::Handle;

use super::unavailable;
use crate::bus::BusError;

/// How long a caller waits for Redis.
pub(super) const TIMEOUT: Duration = Duration::from_secs(1);

/// A small pool of connections. Clones share it.
#[derive(Clone)]
pub(super) struct Connections {
    pool: Pool<ConnectionManager>,
    last_failure: LastFailure,
}

/// The error of the last attempt to open a connection; `None` after a success. The pool itself reports only a
/// timeout.
type LastFailure = Arc<Mutex<Option<String>>>;

impl Connections {
    pub(super) fn new(client: Client) -> Self {
        let last_failure = LastFailure::default();
        let manager = ConnectionManager {
            client,
            last_failure: Arc::clone(&last_failure),
            runtime: Handle::current(),
        };
        let pool = Pool::builder()
            .max_size(4)
            .connection_timeout(TIMEOUT)
            .build_unchecked(manager);
        Self { pool, last_failure }
    }

    pub(super) async fn get(&self) -> Result<PooledConnection<'_, ConnectionManager>, BusError> {
        self.pool.get().await.map_err(|error| match error {
            RunError::User(error) => unavailable(error),
            RunError::TimedOut => {
                let reason = self.last_failure.lock().clone();
                unavailable(reason.unwrap_or_else(|| "no connection was free in time".to_owned()))
            }
        })
    }

    /// Executes a command whose reply is not needed.
    pub(super) async fn execute(&self, command: &Cmd) -> Result<(), BusError> {
        let mut connection = self.get().await?;
        let executed = command.exec_async(&mut *connection).await;
        executed.map_err(unavailable)
    }

    /// Executes commands whose replies are not needed in one round trip.
    pub(super) async fn execute_all(&self, commands: &Pipeline) -> Result<(), BusError> {
        let mut connection = self.get().await?;
        let executed = commands.exec_async(&mut *connection).await;
        executed.map_err(unavailable)
    }
}

/// Opens connections on the runtime that created the bus, because the driver of a connection must outlive
/// the HTTP worker that requested it.
pub(super) struct ConnectionManager {
    client: Client,
    last_failure: LastFailure,
    runtime: Handle,
}

impl ManageConnection for ConnectionManager {
    type Connection = MultiplexedConnection;
    type Error = RedisError;

    async fn connect(&self) -> Result<Self::Connection, RedisError> {
        let client = self.client.clone();
        let connected = self
            .runtime
            .spawn(async move { client.get_multiplexed_async_connection().await })
            .await
            .unwrap_or_else(|_| Err((ErrorKind::Io, "the runtime is shutting down").into()));
        *self.last_failure.lock() = connected.as_ref().err().map(ToString::to_string);
        connected
    }

    async fn is_valid(&self, connection: &mut Self::Connection) -> Result<(), RedisError> {
        cmd("PING").exec_async(connection).await
    }

    fn has_broken(&self, _: &mut Self::Connection) -> bool {
        // Unknown here; `is_valid` checks at every checkout.
        false
    }
}
