use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use sovd_domain::CommandId;
use uuid::Uuid;

use super::Task;
use crate::{Connection, Result, schema::command_queue};

/// A task that expired before it was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expired {
    /// The command.
    pub command_id: CommandId,
    /// The task.
    pub task: Task,
    /// The reason for the last failed attempt, if there was one.
    pub last_error: Option<String>,
}

/// Locks and returns up to `limit` expired tasks that were never sent and have no valid lease, the ones
/// that expired first. Tasks that another transaction has locked are skipped.
///
/// The tasks are sorted by vehicle id. The caller must remove them in this order because each removal
/// locks the head of its vehicle's queue.
pub async fn expired(
    connection: &mut Connection,
    now: DateTime<Utc>,
    limit: i64,
) -> Result<Vec<Expired>> {
    let is_free = command_queue::lease_expires_at
        .is_null()
        .or(command_queue::lease_expires_at.le(now).assume_not_null());
    let is_open = command_queue::is_cancelled
        .eq(false)
        .or(command_queue::task.eq("probe"));
    let mut rows: Vec<(Uuid, Uuid, String, Option<String>)> = command_queue::table
        .filter(command_queue::send_count.eq(0))
        .filter(command_queue::expires_at.le(now))
        .filter(is_free)
        .filter(is_open)
        .filter(command_queue::task.eq_any(["command", "probe"]))
        .select((
            command_queue::vehicle_id,
            command_queue::command_id,
            command_queue::task,
            command_queue::last_error,
        ))
        .order(command_queue::expires_at)
        .limit(limit)
        .for_update()
        .skip_locked()
        .load(connection)
        .await?;
    rows.sort_by_key(|(vehicle_id, ..)| *vehicle_id);
    rows.into_iter()
        .map(|(_, command_id, task, last_error)| {
            Ok(Expired {
                command_id: CommandId(command_id),
                task: Task::read(&task, command_id)?,
                last_error,
            })
        })
        .collect()
}
