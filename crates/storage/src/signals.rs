//! What processes tell each other about the queue, through PostgreSQL's LISTEN and NOTIFY.
//!
//! A signal saves time and carries no truth: one that is lost costs a sweep or a lease.

use std::time::Duration;

use diesel::{sql_query, sql_types::Text};
use diesel_async::RunQueryDsl;
use sovd_domain::VehicleId;
use tokio::time::timeout;
use uuid::Uuid;

use crate::{Connection, StorageError};

/// The channel; the trigger on `vehicles` knows it too.
const CHANNEL: &str = "sovd_queue";
const WORK: &str = "work";
/// How long a listener hears nothing before it asks whether the server still answers.
const SILENCE: Duration = Duration::from_secs(30);
const CALLED_OFF: &str = "called_off ";
const VEHICLE: &str = "vehicle ";

/// Something that a dispatcher wants to know at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// There may be something to claim.
    Work,
    /// Whoever holds this lease has lost it, because the command was called off.
    CalledOff(Uuid),
    /// The link of this vehicle has changed.
    Vehicle(VehicleId),
}

/// Sends a signal; inside a transaction it goes out with the commit.
///
/// # Errors
///
/// When the database is away.
pub async fn send(connection: &mut Connection, signal: Signal) -> Result<(), StorageError> {
    let payload = match signal {
        Signal::Work => WORK.to_owned(),
        Signal::CalledOff(lease_id) => format!("{CALLED_OFF}{lease_id}"),
        Signal::Vehicle(vehicle_id) => format!("{VEHICLE}{vehicle_id}"),
    };
    sql_query("SELECT pg_notify($1, $2)")
        .bind::<Text, _>(CHANNEL)
        .bind::<Text, _>(payload)
        .execute(connection)
        .await?;
    Ok(())
}

/// Hears the signals of every process, over a connection of its own.
pub struct Listener(Connection);

impl Listener {
    pub(crate) async fn on(mut connection: Connection) -> Result<Self, StorageError> {
        sql_query(format!("LISTEN {CHANNEL}"))
            .execute(&mut connection)
            .await?;
        Ok(Self(connection))
    }

    /// The next signal. Words that this version does not know are passed over.
    ///
    /// # Errors
    ///
    /// [`StorageError::Unavailable`] when the connection is gone, and with it what was said since.
    pub async fn next(&mut self) -> Result<Signal, StorageError> {
        loop {
            match timeout(SILENCE, self.0.notification()).await {
                Ok(Some(notification)) => {
                    if let Some(signal) = read(notification.payload()) {
                        return Ok(signal);
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

fn read(payload: &str) -> Option<Signal> {
    if payload == WORK {
        return Some(Signal::Work);
    }
    if let Some(vehicle_id) = payload.strip_prefix(VEHICLE) {
        return vehicle_id.parse().ok().map(Signal::Vehicle);
    }
    let lease_id = payload.strip_prefix(CALLED_OFF)?;
    lease_id.parse().ok().map(Signal::CalledOff)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_words_are_no_signal() {
        for payload in ["", "works", "called_off", "called_off x", "restart"] {
            assert_eq!(read(payload), None, "{payload:?}");
        }
    }
}
