//! What is to be done at vehicles.
//!
//! A vehicle is served only its lowest position. Positions are drawn while the vehicle's row is
//! locked (see [`crate::fleet::vehicles::lock`]), so their order is the order of the commits, and a
//! command can never slip in before one that is already under way.
//!
//! The lock of a row decides over its command: a transaction that ends, sends or cancels a command locks
//! the row first, then changes the command.
//!
//! The first entry of each vehicle's queue is also in `queue_heads`, which triggers on `command_queue` and
//! `vehicles` maintain, so that a claim need not search for it. Locks are taken in the order `vehicles`,
//! `command_queue`, `queue_heads`; a transaction that removes entries of several vehicles does so in the
//! order of their ids.

mod claim;
mod expiry;
mod next_moment;
mod waiting;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use sovd_domain::{CommandId, VehicleId};
use uuid::Uuid;

use crate::{Connection, StorageError, schema::command_queue};

pub use claim::{CLAIM, Claim, claim, hold, release, release_vehicle, remove_abandoned, renew};
pub use expiry::{Expired, expired};
pub use next_moment::next_moment;
pub use waiting::{count_of_user, count_of_vehicle};

/// A command on its way into the queue.
#[derive(Debug, Clone, Copy)]
pub struct NewEntry {
    /// The command.
    pub command_id: CommandId,
    /// Its vehicle.
    pub vehicle_id: VehicleId,
    /// Not to be sent before this moment.
    pub due_at: DateTime<Utc>,
    /// Nor after this one.
    pub expires_at: DateTime<Utc>,
    /// Whether it is sent without looking at the faults first.
    pub skip_evidence: bool,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Task {
    /// Send the command.
    Command,
    /// Nobody knows how the command ended: look at the vehicle.
    Probe,
}

/// How far a task has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// What is to be done.
    pub task: Task,
    /// How often it was tried in vain.
    pub attempt: i32,
    /// How often it may have reached the vehicle; 0 means certainly never.
    pub send_count: i32,
    /// Whether the vehicle has answered in full, and only what is left is still to be read.
    pub is_answered: bool,
    /// Whether the command is sent without looking at the faults first.
    pub skip_evidence: bool,
    /// The moment after which nothing is sent any more.
    pub expires_at: DateTime<Utc>,
    /// Whoever works on it; nothing when nobody does.
    pub lease: Option<Lease>,
    /// Whether the command was cancelled while its lease holder may still communicate with the vehicle.
    pub is_cancelled: bool,
}

/// The right to work on a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// Proves that it is still held; every change asks for it.
    pub id: Uuid,
    /// The moment after which another process may take the task.
    pub until: DateTime<Utc>,
}

/// Puts a command at the end of its vehicle's queue.
///
/// # Errors
///
/// When the database is away.
pub async fn push(connection: &mut Connection, entry: &NewEntry) -> Result<(), StorageError> {
    diesel::insert_into(command_queue::table)
        .values((
            command_queue::command_id.eq(entry.command_id.0),
            command_queue::vehicle_id.eq(entry.vehicle_id.0),
            command_queue::due_at.eq(entry.due_at),
            command_queue::expires_at.eq(entry.expires_at),
            command_queue::skip_evidence.eq(entry.skip_evidence),
        ))
        .execute(connection)
        .await?;
    Ok(())
}

/// The entry of a command, locked until the transaction ends.
///
/// # Errors
///
/// When the database is away or the row is unreadable.
pub async fn lock(
    connection: &mut Connection,
    command_id: CommandId,
) -> Result<Option<Entry>, StorageError> {
    let row: Option<EntryRow> = command_queue::table
        .find(command_id.0)
        .select(EntryRow::as_select())
        .for_update()
        .first(connection)
        .await
        .optional()?;
    row.map(Entry::try_from).transpose()
}

/// Records that a task is about to be sent for the `send_count`-th time.
///
/// # Errors
///
/// When the database is away.
pub async fn mark_sent(
    connection: &mut Connection,
    command_id: CommandId,
    send_count: i32,
) -> Result<(), StorageError> {
    diesel::update(command_queue::table.find(command_id.0))
        .set(command_queue::send_count.eq(send_count))
        .execute(connection)
        .await?;
    Ok(())
}

/// Notes that the vehicle has answered in full.
///
/// # Errors
///
/// When the database is away.
pub async fn mark_answered(
    connection: &mut Connection,
    command_id: CommandId,
) -> Result<(), StorageError> {
    diesel::update(command_queue::table.find(command_id.0))
        .set(command_queue::is_answered.eq(true))
        .execute(connection)
        .await?;
    Ok(())
}

/// Postpones a task whose attempt failed with `error` until `due_at`. `send_count` is how often it may
/// have reached the vehicle.
///
/// # Errors
///
/// When the database is away.
pub async fn postpone(
    connection: &mut Connection,
    command_id: CommandId,
    due_at: DateTime<Utc>,
    send_count: i32,
    error: &str,
) -> Result<(), StorageError> {
    diesel::update(command_queue::table.find(command_id.0))
        .set((
            command_queue::due_at.eq(due_at),
            command_queue::send_count.eq(send_count),
            command_queue::last_error.eq(error),
            command_queue::attempt.eq(command_queue::attempt + 1),
            command_queue::lease_id.eq(None::<Uuid>),
            command_queue::lease_expires_at.eq(None::<DateTime<Utc>>),
        ))
        .execute(connection)
        .await?;
    Ok(())
}

/// Makes a probe of a command that ended in the dark. It keeps its place, so that no later command
/// changes what the probe is to find, and nobody holds it.
///
/// # Errors
///
/// When the database is away.
pub async fn turn_into_probe(
    connection: &mut Connection,
    command_id: CommandId,
    due_at: DateTime<Utc>,
    expires_at: DateTime<Utc>,
) -> Result<(), StorageError> {
    diesel::update(command_queue::table.find(command_id.0))
        .set((
            command_queue::task.eq("probe"),
            command_queue::due_at.eq(due_at),
            command_queue::expires_at.eq(expires_at),
            command_queue::attempt.eq(0),
            command_queue::send_count.eq(0),
            command_queue::is_answered.eq(false),
            command_queue::last_error.eq(None::<String>),
            command_queue::is_cancelled.eq(false),
            command_queue::lease_id.eq(None::<Uuid>),
            command_queue::lease_expires_at.eq(None::<DateTime<Utc>>),
        ))
        .execute(connection)
        .await?;
    Ok(())
}

/// Ends the claim of a cancelled command. The vehicle stays reserved until the lease holder calls
/// [`release_vehicle`] or the lease expires.
///
/// # Errors
///
/// When the database is away.
pub async fn cancel(
    connection: &mut Connection,
    command_id: CommandId,
    lease: Lease,
) -> Result<(), StorageError> {
    diesel::update(command_queue::table.find(command_id.0))
        .set((
            command_queue::is_cancelled.eq(true),
            command_queue::lease_id.eq(lease.id),
            command_queue::lease_expires_at.eq(lease.until),
        ))
        .execute(connection)
        .await?;
    Ok(())
}

/// Takes a task that is done out of the queue.
///
/// # Errors
///
/// When the database is away.
pub async fn remove(
    connection: &mut Connection,
    command_id: CommandId,
) -> Result<(), StorageError> {
    diesel::delete(command_queue::table.find(command_id.0))
        .execute(connection)
        .await?;
    Ok(())
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = command_queue, check_for_backend(diesel::pg::Pg))]
struct EntryRow {
    command_id: Uuid,
    task: String,
    attempt: i32,
    send_count: i32,
    is_answered: bool,
    skip_evidence: bool,
    expires_at: DateTime<Utc>,
    lease_id: Option<Uuid>,
    lease_expires_at: Option<DateTime<Utc>>,
    is_cancelled: bool,
}

impl TryFrom<EntryRow> for Entry {
    type Error = StorageError;

    fn try_from(row: EntryRow) -> Result<Self, StorageError> {
        Ok(Self {
            task: Task::read(&row.task, row.command_id)?,
            attempt: row.attempt,
            send_count: row.send_count,
            is_answered: row.is_answered,
            skip_evidence: row.skip_evidence,
            expires_at: row.expires_at,
            lease: row
                .lease_id
                .zip(row.lease_expires_at)
                .map(|(id, until)| Lease { id, until }),
            is_cancelled: row.is_cancelled,
        })
    }
}

impl Task {
    fn read(text: &str, command_id: Uuid) -> Result<Self, StorageError> {
        match text {
            "command" => Ok(Self::Command),
            "probe" => Ok(Self::Probe),
            other => Err(StorageError::corrupt(
                "command_queue",
                "task",
                command_id,
                format!("{other:?} is no task"),
            )),
        }
    }
}
