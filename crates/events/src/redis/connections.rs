use std::time::Duration;

use bb8_redis::{
    bb8::{ManageConnection, Pool, PooledConnection},
    redis::{Client, ErrorKind, RedisError, aio::MultiplexedConnection, cmd},
};
use tokio::runtime::Handle;

use super::unavailable;
use crate::bus::BusError;

/// How long an outage may hold up whoever asks.
pub(super) const PATIENCE: Duration = Duration::from_secs(1);

/// A small pool of connections. Clones share it.
#[derive(Clone)]
pub(super) struct Connections(Pool<ConnectionManager>);

impl Connections {
    pub(super) fn new(client: Client) -> Self {
        let manager = ConnectionManager {
            client,
            runtime: Handle::current(),
        };
        let pool = Pool::builder()
            .max_size(4)
            .connection_timeout(PATIENCE)
            .build_unchecked(manager);
        Self(pool)
    }

    pub(super) async fn get(&self) -> Result<PooledConnection<'_, ConnectionManager>, BusError> {
        self.0.get().await.map_err(unavailable)
    }
}

/// Opens connections on the runtime the bus was made on, whichever runtime asks: the driver of a
/// connection must outlive the HTTP worker that happened to need it.
pub(super) struct ConnectionManager {
    client: Client,
    runtime: Handle,
}

impl ManageConnection for ConnectionManager {
    type Connection = MultiplexedConnection;
    type Error = RedisError;

    async fn connect(&self) -> Result<Self::Connection, RedisError> {
        let client = self.client.clone();
        self.runtime
            .spawn(async move { client.get_multiplexed_async_connection().await })
            .await
            .unwrap_or_else(|_| Err((ErrorKind::Io, "the runtime is shutting down").into()))
    }

    async fn is_valid(&self, connection: &mut Self::Connection) -> Result<(), RedisError> {
        cmd("PING").exec_async(connection).await
    }

    fn has_broken(&self, _: &mut Self::Connection) -> bool {
        // It cannot tell; the check at every checkout does.
        false
    }
}
