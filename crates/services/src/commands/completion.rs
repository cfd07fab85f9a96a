//! The end of a command: its state, its queue entry and its audit entry.
//!
//! Every function runs in a transaction that holds the lock on the queue entry.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use sovd_domain::{AuditEntry, AuditResult, Catalog, Command, CommandId, FailureKind, Finding};
use sovd_storage::{
    StorageError, Transaction, audit,
    commands::{
        self,
        queue::{self, Lease},
    },
    maintenance::detection_jobs,
};

/// Time in which a vehicle can be probed after a command with an unknown outcome.
const PROBE_WINDOW: Duration = Duration::from_mins(10);

/// How a command failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) kind: FailureKind,
    pub(crate) message: String,
}

impl Failure {
    pub(crate) fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            // PostgreSQL cannot store U+0000, which a vehicle may send.
            message: sovd_storage::text::storable(&message.into()),
        }
    }
}

/// Completes a command in progress. Creates a detection job for the response from the sequence number
/// `detect_from` on, if there is one. Returns `None` if the command has ended.
pub(crate) async fn complete(
    transaction: &mut Transaction,
    command_id: CommandId,
    detect_from: Option<i32>,
    now: DateTime<Utc>,
) -> Result<Option<Command>, StorageError> {
    queue::remove(transaction, command_id).await?;
    let Some(command) = commands::complete(transaction, command_id, now).await? else {
        return Ok(None);
    };
    audit::insert(transaction, &audit_entry(&command), now).await?;
    if let Some(first_sequence_number) = detect_from {
        detection_jobs::push(transaction, command_id, first_sequence_number, now).await?;
    }
    Ok(Some(command))
}

/// Ends a command as failed. Returns `None` if it has ended. If the outcome is unknown and can be read from
/// the vehicle, the queue entry becomes that of a probe. While `holder` has a lease, the vehicle stays
/// reserved for it.
pub(crate) async fn fail(
    catalog: &Catalog,
    transaction: &mut Transaction,
    command_id: CommandId,
    failure: &Failure,
    holder: Option<Lease>,
    now: DateTime<Utc>,
) -> Result<Option<Command>, StorageError> {
    let kind = failure.kind;
    let failed = commands::fail(transaction, command_id, kind, &failure.message, now).await?;
    let Some(command) = failed else {
        queue::remove(transaction, command_id).await?;
        return Ok(None);
    };
    let spec = catalog.get(&command.command_name);
    match spec.and_then(|spec| spec.evidence) {
        Some(evidence) if kind == FailureKind::OutcomeUnknown => {
            let due_at = now + evidence.settles_in;
            queue::turn_into_probe(transaction, command_id, due_at, now + PROBE_WINDOW).await?;
        }
        _ if holder.is_none() => queue::remove(transaction, command_id).await?,
        _ => {}
    }
    if let Some(lease) = holder {
        queue::cancel(transaction, command_id, lease).await?;
    }
    audit::insert(transaction, &audit_entry(&command), now).await?;
    Ok(Some(command))
}

/// Ends a probe and adds its finding to the command.
pub(crate) async fn record_finding(
    transaction: &mut Transaction,
    command_id: CommandId,
    finding: Finding,
    grounds: &Value,
    now: DateTime<Utc>,
) -> Result<(), StorageError> {
    queue::remove(transaction, command_id).await?;
    let Some(command) = commands::add_finding(transaction, command_id, finding).await? else {
        return Ok(());
    };
    let details = json!({
        "command_name": command.command_name,
        "finding": finding,
        "grounds": grounds,
    });
    let entry = AuditEntry {
        details,
        ..about(&command, "command.probe")
    };
    audit::insert(transaction, &entry, now).await
}

/// Returns the entry that audits the end of a command.
pub(crate) fn audit_entry(command: &Command) -> AuditEntry {
    let (action, result) = match command.failure_kind {
        None => ("command.complete", AuditResult::Done),
        Some(_) => ("command.fail", AuditResult::Failed),
    };
    let details = json!({
        "command_name": command.command_name,
        "status": command.status,
        "failure_kind": command.failure_kind,
    });
    AuditEntry {
        result,
        details,
        ..about(command, action)
    }
}

fn about(command: &Command, action: &'static str) -> AuditEntry {
    AuditEntry {
        entity_id: Some(command.command_id.0),
        vehicle_id: Some(command.vehicle_id),
        command_id: Some(command.command_id),
        ..AuditEntry::new(action, "command")
    }
}
