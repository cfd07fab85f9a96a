use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::json;
use sovd_domain::AuditEntry;
use sovd_storage::{
    Database, StorageError, Transaction, audit,
    commands::retention::{self, DeletedCommands},
};
use tokio_util::sync::CancellationToken;

use crate::timer::Timer;

/// The number of commands deleted in one transaction.
const BATCH: i64 = 500;

/// Deletes commands that ended more than `retention` ago, oldest first, until `deadline` or `stop`.
///
/// Pauses after each batch for as long as the batch took, so that a backlog leaves capacity to the users. If an
/// error occurs, the batches deleted so far stay committed.
pub(super) async fn delete_old_commands(
    database: &Database,
    clock: &dyn Timer,
    retention: Duration,
    deadline: DateTime<Utc>,
    stop: &CancellationToken,
) -> Result<(), StorageError> {
    let cutoff = clock.now() - retention;
    let mut after = None;
    while !stop.is_cancelled() && clock.now() < deadline {
        let started_at = clock.now();
        let Some(deleted) = delete_batch(database, cutoff, after, started_at).await? else {
            break;
        };
        // The index entries of the deleted commands remain until a vacuum, and are not read again.
        after = Some(deleted.last_submitted_at);
        let ended_at = clock.now();
        tokio::select! {
            () = stop.cancelled() => {}
            () = clock.sleep_until(ended_at + (ended_at - started_at)) => {}
        }
    }
    Ok(())
}

/// Deletes one batch and audits it in the same transaction.
async fn delete_batch(
    database: &Database,
    cutoff: DateTime<Utc>,
    after: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Result<Option<DeletedCommands>, StorageError> {
    let delete_oldest = async |transaction: &mut Transaction| {
        let deleted = retention::delete_ended(transaction, cutoff, after, BATCH).await?;
        if let Some(deleted) = &deleted {
            audit::insert(transaction, &entry(deleted), now).await?;
        }
        Ok::<_, StorageError>(deleted)
    };
    let deleted = database.transaction(delete_oldest).await?;
    if let Some(deleted) = &deleted {
        tracing::info!(
            commands = deleted.count,
            last_submitted_at = %deleted.last_submitted_at,
            "deleted old commands"
        );
    }
    Ok(deleted)
}

fn entry(deleted: &DeletedCommands) -> AuditEntry {
    AuditEntry {
        details: json!({
            "commands": deleted.count,
            "first_submitted_at": deleted.first_submitted_at,
            "last_submitted_at": deleted.last_submitted_at,
        }),
        ..AuditEntry::new("command.delete", "command")
    }
}
