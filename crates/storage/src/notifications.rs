//! Notifications between processes about the queue, through LISTEN and NOTIFY of PostgreSQL.
//!
//! A notification is a hint. If one is lost, the next sweep or the end of the lease takes its place.

use std::time::Duration;

use diesel::{sql_query, sql_types::Text};
use diesel_async::RunQueryDsl;
use sovd_domain::VehicleId;
use tokio::time::timeout;
use uuid::Uuid;

use crate::{Connection, Result, StorageError, statement::Statement};

/// Also the channel of the triggers on `vehicles`.
const CHANNEL: &str = "sovd_queue";
const WORK: &str = "work";
/// How long a listener waits for a notification before it checks the connection.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
const CANCELLED: &str = "cancelled ";
const VEHICLE: &str = "vehicle ";

/// A change that other processes react to immediately.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notification {
    /// A task may be ready to be claimed.
    Work,
    /// The command with this lease was cancelled.
    Cancelled(Uuid),
    /// The connection status of this vehicle changed.
    Vehicle(VehicleId),
}

/// Sends a notification; within a transaction, PostgreSQL delivers it after the commit.
pub async fn send(connection: &mut Connection, notification: Notification) -> Result<()> {
    let payload = match notification {
        Notification::Work => WORK.to_owned(),
        Notification::Cancelled(lease_id) => format!("{CANCELLED}{lease_id}"),
        Notification::Vehicle(vehicle_id) => format!("{VEHICLE}{vehicle_id}"),
    };
    sql_query("SELECT pg_notify($1, $2)")
        .bind::<Text, _>(CHANNEL)
        .bind::<Text, _>(payload)
        .run(connection)
        .await
}

/// Receives the notifications of all processes on a dedicated connection.
pub struct Listener(Connection);

impl Listener {
    pub(crate) async fn on(mut connection: Connection) -> Result<Self> {
        sql_query(format!("LISTEN {CHANNEL}"))
            .execute(&mut connection)
            .await?;
        Ok(Self(connection))
    }

    /// Waits for the next notification and ignores unknown ones.
    ///
    /// # Errors
    ///
    /// [`StorageError::Unavailable`] if the connection is lost. Notifications may have been missed.
    pub async fn next(&mut self) -> Result<Notification> {
        loop {
            match timeout(IDLE_TIMEOUT, self.0.notification()).await {
                Ok(Some(message)) => {
                    if let Some(notification) = read(message.payload()) {
                        return Ok(notification);
                    }
                }
                Ok(None) => return Err(StorageError::Unavailable("connection closed".to_owned())),
                // The kernel of a server that hangs still acknowledges keepalives.
                Err(_) => {
                    sql_query("SELECT 1").execute(&mut self.0).await?;
                }
            }
        }
    }
}

fn read(payload: &str) -> Option<Notification> {
    if payload == WORK {
        return Some(Notification::Work);
    }
    if let Some(vehicle_id) = payload.strip_prefix(VEHICLE) {
        return vehicle_id.parse().ok().map(Notification::Vehicle);
    }
    let lease_id = payload.strip_prefix(CANCELLED)?;
    lease_id.parse().ok().map(Notification::Cancelled)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ignores_unknown_payloads() {
        for payload in ["", "works", "cancelled", "cancelled x", "restart"] {
            assert_eq!(read(payload), None, "{payload:?}");
        }
    }
}
