//! Detection jobs: complete responses in which anomalies still have to be detected.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use sovd_domain::{CommandId, VehicleId};
use uuid::Uuid;

use crate::{
    Connection, Result,
    schema::{commands, detection_jobs},
    statement::Statement,
};

/// A complete response in which anomalies have to be detected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DetectionJob {
    /// The command that the response belongs to.
    pub command_id: CommandId,
    /// The vehicle of the command.
    pub vehicle_id: VehicleId,
    /// The sequence number of its first chunk.
    pub first_sequence_number: i32,
    /// Number of detection runs that failed.
    pub attempts: i32,
}

/// Adds a job for the response to a command; does nothing if it has one.
///
/// # Errors
///
/// `StorageError::Dangling` if the command does not exist.
pub async fn push(
    connection: &mut Connection,
    command_id: CommandId,
    first_sequence_number: i32,
    due_at: DateTime<Utc>,
) -> Result<()> {
    diesel::insert_into(detection_jobs::table)
        .values((
            detection_jobs::command_id.eq(command_id.0),
            detection_jobs::first_sequence_number.eq(first_sequence_number),
            detection_jobs::due_at.eq(due_at),
        ))
        .on_conflict_do_nothing()
        .run(connection)
        .await
}

/// Does the same for several commands, each given with the sequence number of the first chunk.
pub async fn push_all(
    connection: &mut Connection,
    jobs: &[(CommandId, i32)],
    due_at: DateTime<Utc>,
) -> Result<()> {
    let rows: Vec<_> = jobs
        .iter()
        .map(|(command_id, first_sequence_number)| {
            (
                detection_jobs::command_id.eq(command_id.0),
                detection_jobs::first_sequence_number.eq(first_sequence_number),
                detection_jobs::due_at.eq(due_at),
            )
        })
        .collect();
    diesel::insert_into(detection_jobs::table)
        .values(rows)
        .on_conflict_do_nothing()
        .run(connection)
        .await
}

/// Returns up to `limit` jobs that are due at `now`, the ones that became due first.
pub async fn due(
    connection: &mut Connection,
    now: DateTime<Utc>,
    limit: i64,
) -> Result<Vec<DetectionJob>> {
    let rows: Vec<(Uuid, Uuid, i32, i32)> = detection_jobs::table
        .inner_join(commands::table)
        .filter(detection_jobs::due_at.le(now))
        .order((detection_jobs::due_at, detection_jobs::command_id))
        .select((
            detection_jobs::command_id,
            commands::vehicle_id,
            detection_jobs::first_sequence_number,
            detection_jobs::attempts,
        ))
        .limit(limit)
        .load(connection)
        .await?;
    let jobs = rows.into_iter().map(
        |(command_id, vehicle_id, first_sequence_number, attempts)| DetectionJob {
            command_id: CommandId(command_id),
            vehicle_id: VehicleId(vehicle_id),
            first_sequence_number,
            attempts,
        },
    );
    Ok(jobs.collect())
}

/// Locks a job until the transaction ends and returns whether it exists.
///
/// The command is locked first, in the order in which a deletion locks them; the caller must have locked
/// the vehicle with [`crate::fleet::vehicles::prevent_deletion`] for the same reason.
pub async fn lock(connection: &mut Connection, command_id: CommandId) -> Result<bool> {
    commands::table
        .find(command_id.0)
        .select(commands::command_id)
        .for_key_share()
        .load::<Uuid>(connection)
        .await?;
    detection_jobs::table
        .find(command_id.0)
        .select(detection_jobs::command_id)
        .for_update()
        .affects_rows(connection)
        .await
}

/// Deletes a job and returns whether it existed.
pub async fn remove(connection: &mut Connection, command_id: CommandId) -> Result<bool> {
    diesel::delete(detection_jobs::table.find(command_id.0))
        .affects_rows(connection)
        .await
}

/// Deletes jobs in which nothing new was detected.
pub async fn remove_all(connection: &mut Connection, command_ids: &[CommandId]) -> Result<()> {
    let mut ids: Vec<Uuid> = command_ids.iter().map(|id| id.0).collect();
    // Concurrent deletions lock in one order.
    ids.sort_unstable();
    diesel::delete(detection_jobs::table.filter(detection_jobs::command_id.eq_any(ids)))
        .run(connection)
        .await
}

/// Postpones a job after a detection run that failed.
pub async fn postpone(
    connection: &mut Connection,
    command_id: CommandId,
    due_at: DateTime<Utc>,
) -> Result<()> {
    diesel::update(detection_jobs::table.find(command_id.0))
        .set((
            detection_jobs::due_at.eq(due_at),
            detection_jobs::attempts.eq(detection_jobs::attempts + 1),
        ))
        .run(connection)
        .await
}
