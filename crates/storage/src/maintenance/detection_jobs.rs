//! Complete answers in which nobody has looked for anomalies yet.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use sovd_domain::{CommandId, VehicleId};
use uuid::Uuid;

use crate::{
    Connection, StorageError,
    schema::{commands, unread_answers},
};

/// A complete answer to look through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnreadAnswer {
    /// The command that was answered.
    pub command_id: CommandId,
    /// The vehicle that answered.
    pub vehicle_id: VehicleId,
    /// The number of its first part.
    pub first_number: i32,
    /// How many looks have failed.
    pub attempts: i32,
}

/// Notes that the answer of a command is to be looked through.
///
/// # Errors
///
/// [`StorageError::Dangling`] when there is no such command.
pub async fn push(
    connection: &mut Connection,
    command_id: CommandId,
    first_number: i32,
    due_at: DateTime<Utc>,
) -> Result<(), StorageError> {
    diesel::insert_into(unread_answers::table)
        .values((
            unread_answers::command_id.eq(command_id.0),
            unread_answers::first_number.eq(first_number),
            unread_answers::due_at.eq(due_at),
        ))
        .on_conflict_do_nothing()
        .execute(connection)
        .await?;
    Ok(())
}

/// The answer that is due for longest at `now`.
///
/// # Errors
///
/// When the database is away.
pub async fn next(
    connection: &mut Connection,
    now: DateTime<Utc>,
) -> Result<Option<UnreadAnswer>, StorageError> {
    let row: Option<(Uuid, Uuid, i32, i32)> = unread_answers::table
        .inner_join(commands::table.on(commands::command_id.eq(unread_answers::command_id)))
        .filter(unread_answers::due_at.le(now))
        .order((unread_answers::due_at, unread_answers::command_id))
        .select((
            unread_answers::command_id,
            commands::vehicle_id,
            unread_answers::first_number,
            unread_answers::attempts,
        ))
        .first(connection)
        .await
        .optional()?;
    Ok(row.map(
        |(command_id, vehicle_id, first_number, attempts)| UnreadAnswer {
            command_id: CommandId(command_id),
            vehicle_id: VehicleId(vehicle_id),
            first_number,
            attempts,
        },
    ))
}

/// Locks an answer until the transaction ends, and its command before it, as a deletion begins with the
/// command. The caller has locked the vehicle with [`crate::fleet::vehicles::keep`] for the same reason. Says
/// whether the answer is still to be looked through.
///
/// # Errors
///
/// When the database is away.
pub async fn lock(
    connection: &mut Connection,
    command_id: CommandId,
) -> Result<bool, StorageError> {
    commands::table
        .find(command_id.0)
        .select(commands::command_id)
        .for_key_share()
        .load::<Uuid>(connection)
        .await?;
    let locked: Option<Uuid> = unread_answers::table
        .find(command_id.0)
        .select(unread_answers::command_id)
        .for_update()
        .first(connection)
        .await
        .optional()?;
    Ok(locked.is_some())
}

/// Notes that an answer was looked through, or never will be; says whether it was still to be.
///
/// # Errors
///
/// When the database is away.
pub async fn remove(
    connection: &mut Connection,
    command_id: CommandId,
) -> Result<bool, StorageError> {
    let removed = diesel::delete(unread_answers::table.find(command_id.0))
        .execute(connection)
        .await?;
    Ok(removed > 0)
}

/// Puts an answer off after a look that failed.
///
/// # Errors
///
/// When the database is away.
pub async fn postpone(
    connection: &mut Connection,
    command_id: CommandId,
    due_at: DateTime<Utc>,
) -> Result<(), StorageError> {
    diesel::update(unread_answers::table.find(command_id.0))
        .set((
            unread_answers::due_at.eq(due_at),
            unread_answers::attempts.eq(unread_answers::attempts + 1),
        ))
        .execute(connection)
        .await?;
    Ok(())
}
