use bb8_redis::redis::cmd;

use super::{connections::Connections, unavailable};
use crate::bus::BusError;

/// Publishes messages.
pub(super) struct Publisher {
    connections: Connections,
}

impl Publisher {
    pub(super) fn new(connections: Connections) -> Self {
        Self { connections }
    }

    pub(super) async fn publish(&self, channel: &str, payload: &str) -> Result<(), BusError> {
        let mut connection = self.connections.get().await?;
        cmd("PUBLISH")
            .arg(channel)
            .arg(payload)
            .exec_async(&mut *connection)
            .await
            .map_err(unavailable)
    }

    pub(super) async fn ping(&self) -> Result<(), BusError> {
        let mut connection = self.connections.get().await?;
        cmd("PING")
            .exec_async(&mut *connection)
            .await
            .map_err(unavailable)
    }
}
