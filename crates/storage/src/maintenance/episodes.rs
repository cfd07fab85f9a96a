//! Episodes of anomalies: the period from detection until a workshop closes the anomaly.

use diesel::{dsl::exists, prelude::*, query_dsl::methods, select};
use diesel_async::RunQueryDsl;
use sovd_domain::{AnomalyId, Closure, Outcome, VehicleId};

use crate::{
    Connection, Result,
    schema::{anomaly_episodes, anomaly_events},
    statement::Statement,
};

/// The state of an episode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Episode {
    /// No workshop has closed it.
    Open,
    /// A workshop has closed it.
    Closed,
}

/// Returns the state of an anomaly and locks it until the transaction ends, so that it is neither closed
/// nor booked concurrently.
pub async fn lock(connection: &mut Connection, anomaly_id: AnomalyId) -> Result<Option<Episode>> {
    let is_locked = anomaly_events::table
        .find(anomaly_id.0)
        .select(anomaly_events::id)
        .for_no_key_update()
        .affects_rows(connection)
        .await?;
    if !is_locked {
        return Ok(None);
    }
    let closed = anomaly_episodes::table
        .find(anomaly_id.0)
        .filter(anomaly_episodes::closed_at.is_not_null());
    let is_closed: bool = select(exists(closed)).get_result(connection).await?;
    Ok(Some(if is_closed {
        Episode::Closed
    } else {
        Episode::Open
    }))
}

/// Closes the episode of an anomaly; returns whether it was open. Inserts the episode if the anomaly has
/// none.
///
/// # Errors
///
/// `StorageError::Dangling` if the anomaly or the vehicle does not exist.
pub async fn close(
    connection: &mut Connection,
    anomaly_id: AnomalyId,
    vehicle_id: VehicleId,
    closure: Closure,
) -> Result<bool> {
    let end = (
        anomaly_episodes::outcome.eq(Outcome::as_str(closure.outcome)),
        anomaly_episodes::closed_at.eq(closure.closed_at),
    );
    let upsert = diesel::insert_into(anomaly_episodes::table)
        .values((
            anomaly_episodes::anomaly_event_id.eq(anomaly_id.0),
            anomaly_episodes::vehicle_id.eq(vehicle_id.0),
            end,
        ))
        .on_conflict(anomaly_episodes::anomaly_event_id)
        .do_update()
        .set(end);
    methods::FilterDsl::filter(upsert, anomaly_episodes::closed_at.is_null())
        .affects_rows(connection)
        .await
}
