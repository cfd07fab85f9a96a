//! The queue of commands and probes, one FIFO queue per vehicle.
//!
//! Only the entry with the lowest position of a vehicle can be claimed. Positions are assigned while
//! the vehicle's row is locked (see [`crate::fleet::vehicles::lock`]), so they follow the order of the
//! commits, and no command can overtake one that is in progress.
//!
//! The lock of a row in `command_queue` serializes all changes of a command: sending, completing and
//! cancelling it first lock the row, then change the command.
//!
//! Triggers on `command_queue` and `vehicles` maintain `queue_heads`, which contains the first entry
//! of each vehicle's queue, so that a claim need not search for it. Locks are taken in the order
//! `vehicles`, `command_queue`, `queue_heads`. A transaction that removes entries of several vehicles
//! does so in the order of the vehicle ids.

mod claim;
mod expiry;
mod next_moment;
mod waiting;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use sovd_domain::{CommandId, VehicleId};
use uuid::Uuid;

use crate::{Connection, Result, StorageError, schema::command_queue, statement::Statement};

pub use claim::{
    CLAIM, Claim, Claimed, claim, hold, release, release_unsent, release_vehicle, remove_abandoned,
    renew,
};
pub use expiry::{Expired, expired};
pub use next_moment::next_moment;
pub use waiting::{count_of_user, count_of_users, count_of_vehicle, count_of_vehicles};

/// An entry to be added to the queue.
#[derive(Debug, Clone, Copy)]
pub struct NewEntry {
    /// The command.
    pub command_id: CommandId,
    /// Its vehicle.
    pub vehicle_id: VehicleId,
    /// The time before which it is not sent.
    pub due_at: DateTime<Utc>,
    /// The time after which it is not sent.
    pub expires_at: DateTime<Utc>,
    /// Whether it is sent without reading the faults first.
    pub skip_evidence: bool,
}

/// The task of a queue entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Task {
    /// Send the command.
    Command,
    /// Read the faults again because the outcome of the command is unknown.
    Probe,
}

/// The progress of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// The task.
    pub task: Task,
    /// The number of failed attempts.
    pub attempt: i32,
    /// How often it may have reached the vehicle; 0 means that it certainly has not.
    pub send_count: i32,
    /// Whether the vehicle has responded completely, and only the faults that remain are to be read.
    pub is_answered: bool,
    /// Whether the command is sent without reading the faults first.
    pub skip_evidence: bool,
    /// The time after which it is not sent.
    pub expires_at: DateTime<Utc>,
    /// The current lease, if any.
    pub lease: Option<Lease>,
    /// Whether the command was cancelled while its lease holder may still communicate with the vehicle.
    pub is_cancelled: bool,
}

/// The exclusive right to process a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// Identifies the lease; every change by the holder is conditional on it.
    pub id: Uuid,
    /// The time after which another process may claim the task.
    pub until: DateTime<Utc>,
}

/// Appends a command to its vehicle's queue.
pub async fn push(connection: &mut Connection, entry: &NewEntry) -> Result<()> {
    diesel::insert_into(command_queue::table)
        .values((
            command_queue::command_id.eq(entry.command_id.0),
            command_queue::vehicle_id.eq(entry.vehicle_id.0),
            command_queue::due_at.eq(entry.due_at),
            command_queue::expires_at.eq(entry.expires_at),
            command_queue::skip_evidence.eq(entry.skip_evidence),
        ))
        .run(connection)
        .await
}

/// Locks the entry of a command until the transaction ends, and returns it.
pub async fn lock(connection: &mut Connection, command_id: CommandId) -> Result<Option<Entry>> {
    command_queue::table
        .find(command_id.0)
        .select(EntryRow::as_select())
        .for_update()
        .fetch_first(connection)
        .await
}

/// Records that a task is about to be sent for the `send_count`-th time.
pub async fn mark_sent(
    connection: &mut Connection,
    command_id: CommandId,
    send_count: i32,
) -> Result<()> {
    diesel::update(command_queue::table.find(command_id.0))
        .set(command_queue::send_count.eq(send_count))
        .run(connection)
        .await
}

/// Records that the vehicle has responded completely.
pub async fn mark_answered(connection: &mut Connection, command_id: CommandId) -> Result<()> {
    diesel::update(command_queue::table.find(command_id.0))
        .set(command_queue::is_answered.eq(true))
        .run(connection)
        .await
}

/// Postpones a task whose attempt failed with `error` until `due_at`. `send_count` is how often it may
/// have reached the vehicle.
pub async fn postpone(
    connection: &mut Connection,
    command_id: CommandId,
    due_at: DateTime<Utc>,
    send_count: i32,
    error: &str,
) -> Result<()> {
    diesel::update(command_queue::table.find(command_id.0))
        .set((
            command_queue::due_at.eq(due_at),
            command_queue::send_count.eq(send_count),
            command_queue::last_error.eq(error),
            command_queue::attempt.eq(command_queue::attempt + 1),
            command_queue::lease_id.eq(None::<Uuid>),
            command_queue::lease_expires_at.eq(None::<DateTime<Utc>>),
        ))
        .run(connection)
        .await
}

/// Replaces a command whose outcome is unknown by an unclaimed probe. The probe keeps the position, so
/// that no later command changes the faults before it reads them.
pub async fn turn_into_probe(
    connection: &mut Connection,
    command_id: CommandId,
    due_at: DateTime<Utc>,
    expires_at: DateTime<Utc>,
) -> Result<()> {
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
        .run(connection)
        .await
}

/// Ends the claim of a cancelled command. The vehicle stays reserved until the lease holder calls
/// [`release_vehicle`] or the lease expires.
pub async fn cancel(
    connection: &mut Connection,
    command_id: CommandId,
    lease: Lease,
) -> Result<()> {
    diesel::update(command_queue::table.find(command_id.0))
        .set((
            command_queue::is_cancelled.eq(true),
            command_queue::lease_id.eq(lease.id),
            command_queue::lease_expires_at.eq(lease.until),
        ))
        .run(connection)
        .await
}

/// Removes a finished task from the queue.
pub async fn remove(connection: &mut Connection, command_id: CommandId) -> Result<()> {
    diesel::delete(command_queue::table.find(command_id.0))
        .run(connection)
        .await
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

    fn try_from(row: EntryRow) -> Result<Self> {
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
    fn read(text: &str, command_id: Uuid) -> Result<Self> {
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
