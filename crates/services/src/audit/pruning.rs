use std::time::Duration;

use serde_json::json;
use sovd_domain::{AuditEntry, audit::Link};
use sovd_storage::{
    StorageError,
    audit::{self, chain, cut},
};
use tokio_util::sync::CancellationToken;

use crate::environment::Environment;

/// How many lines are cut off in one transaction.
const BATCH: i64 = 10_000;

/// Cuts off the beginning of the chain as far as all of it is older than `retention`, or until `stop`.
/// Lines that are not sealed stay, and so does everything behind one that is young.
///
/// # Errors
///
/// When the database is away or refuses. What was cut off before stays so.
pub(crate) async fn prune(
    environment: &Environment,
    retention: Duration,
    stop: &CancellationToken,
) -> Result<(), StorageError> {
    while !stop.is_cancelled() {
        if prune_batch(environment, retention).await? == 0 {
            break;
        }
    }
    Ok(())
}

/// The cut, the deletion and the line that tells of them, or none of the three.
async fn prune_batch(
    environment: &Environment,
    retention: Duration,
) -> Result<usize, StorageError> {
    let now = environment.clock.now();
    let oldest_kept = now - retention;
    let mut transaction = environment.database.begin().await?;
    // Two who prune at once would cut at the same place.
    chain::lock_head(&mut transaction).await?;
    let beginning = cut::beginning(&mut transaction, BATCH).await?;
    let old = beginning
        .iter()
        .take_while(|(_, timestamp)| *timestamp < oldest_kept);
    let Some((last, _)) = old.last() else {
        transaction.rollback().await?;
        return Ok(0);
    };
    let deleted = cut::after(&mut transaction, *last, now).await?;
    audit::insert(&mut transaction, &entry(*last, deleted), now).await?;
    transaction.commit().await?;
    tracing::info!(
        position = last.position,
        lines = deleted,
        "cut off old audit lines"
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
