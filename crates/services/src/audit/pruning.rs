use std::time::Duration;

use serde_json::json;
use sovd_domain::{AuditEntry, audit::Link};
use sovd_storage::{
    Database, StorageError, Transaction,
    audit::{self, chain, pruning},
};
use tokio_util::sync::CancellationToken;

use crate::timer::Timer;

/// The number of entries deleted in one transaction.
const BATCH: i64 = 10_000;

/// Deletes the beginning of the chain up to the first entry that is not older than `retention`, or until
/// `stop`. Unsealed entries are kept.
///
/// If an error occurs, the batches pruned so far stay committed.
pub(crate) async fn prune(
    database: &Database,
    clock: &dyn Timer,
    retention: Duration,
    stop: &CancellationToken,
) -> Result<(), StorageError> {
    while !stop.is_cancelled() {
        if prune_batch(database, clock, retention).await? == 0 {
            break;
        }
    }
    Ok(())
}

/// Prunes one batch and audits it in the same transaction. Returns the number of deleted entries.
async fn prune_batch(
    database: &Database,
    clock: &dyn Timer,
    retention: Duration,
) -> Result<usize, StorageError> {
    let now = clock.now();
    let oldest_kept = now - retention;
    let prune_oldest = async |transaction: &mut Transaction| {
        // Serializes concurrent prunings.
        chain::lock_head(transaction).await?;
        let beginning = pruning::oldest_links(transaction, BATCH).await?;
        let old = beginning
            .iter()
            .take_while(|(_, timestamp)| *timestamp < oldest_kept);
        let Some((last, _)) = old.last() else {
            return Ok(None);
        };
        let deleted = pruning::prune(transaction, *last, now).await?;
        audit::insert(transaction, &entry(*last, deleted), now).await?;
        Ok::<_, StorageError>(Some((*last, deleted)))
    };
    let Some((last, deleted)) = database.transaction(prune_oldest).await? else {
        return Ok(0);
    };
    tracing::info!(
        position = last.position,
        entries = deleted,
        "pruned old audit entries"
    );
    Ok(deleted)
}

fn entry(last: Link, deleted: usize) -> AuditEntry {
    AuditEntry {
        details: json!({
            "position": last.position,
            "hash": last.hash.to_string(),
            "lines": deleted,
        }),
        ..AuditEntry::new("audit.prune", "audit")
    }
}
