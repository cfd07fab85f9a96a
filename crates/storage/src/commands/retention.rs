//! Deletion of commands after their retention.

use chrono::{DateTime, Utc};
use diesel::{
    prelude::*,
    sql_query,
    sql_types::{BigInt, Nullable, Timestamptz},
};
use diesel_async::RunQueryDsl;

use crate::{Result, Transaction, statement::Statement};

/// Commands deleted by one statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeletedCommands {
    /// Their number, at least 1.
    pub count: i64,
    /// When the first of them was submitted.
    pub first_submitted_at: DateTime<Utc>,
    /// When the last of them was submitted.
    pub last_submitted_at: DateTime<Utc>,
}

/// Deletes up to `limit` commands that ended before `cutoff`, with their responses, in the order of their
/// submission. Returns `None` if there are none.
///
/// Skips commands that were submitted before `after`, that have a queue entry, such as a probe, or a
/// detection job, and those that another transaction has locked. Audit entries and anomalies are kept: the
/// foreign keys set their references to the deleted rows to NULL, and `audit_logs.subject_command_id` keeps
/// the id.
///
/// # Errors
///
/// Returns `StorageError::Unavailable` if another transaction holds a lock on one of the rows that refer to the
/// commands. The statement waits for 200 ms only, less than `deadlock_timeout`, so it is never another
/// transaction that fails.
pub async fn delete_ended(
    transaction: &mut Transaction,
    cutoff: DateTime<Utc>,
    after: Option<DateTime<Utc>>,
    limit: i64,
) -> Result<Option<DeletedCommands>> {
    sql_query("SET LOCAL lock_timeout = '200ms'")
        .run(transaction)
        .await?;
    // A command is submitted before it ends, so the first condition follows from the second. It bounds the
    // scan of the index on submitted_at.
    let deleted: DeletedRow = sql_query(
        "WITH deleted AS (
             DELETE FROM commands WHERE command_id IN (
                 SELECT command_id FROM commands
                 WHERE submitted_at < $1 AND completed_at < $1
                   AND submitted_at >= coalesce($2, '-infinity')
                   AND status IN ('completed', 'failed')
                   AND NOT EXISTS (SELECT FROM command_queue
                                   WHERE command_queue.command_id = commands.command_id)
                   AND NOT EXISTS (SELECT FROM detection_jobs
                                   WHERE detection_jobs.command_id = commands.command_id)
                 ORDER BY submitted_at, command_id LIMIT $3
                 FOR UPDATE OF commands SKIP LOCKED)
             RETURNING submitted_at)
         SELECT count(*), min(submitted_at) AS first, max(submitted_at) AS last FROM deleted",
    )
    .bind::<Timestamptz, _>(cutoff)
    .bind::<Nullable<Timestamptz>, _>(after)
    .bind::<BigInt, _>(limit)
    .get_result(transaction)
    .await?;
    let DeletedRow { count, first, last } = deleted;
    Ok(first.zip(last).map(|(first, last)| DeletedCommands {
        count,
        first_submitted_at: first,
        last_submitted_at: last,
    }))
}

#[derive(QueryableByName)]
struct DeletedRow {
    #[diesel(sql_type = BigInt)]
    count: i64,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    first: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    last: Option<DateTime<Utc>>,
}
