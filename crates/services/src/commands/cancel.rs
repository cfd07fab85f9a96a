use serde_json::json;
use sovd_domain::{AuditEntry, Command, CommandId, FailureKind, Permission};
use sovd_storage::{
    Transaction, audit,
    commands::queue::{self, Entry, Task},
    notifications::{self, Notification},
};

use super::Commands;
use crate::{
    audit::refusals::Concealed,
    commands::completion::{self, Failure},
    error::{Result, ServiceError},
    identity::caller::Caller,
};

impl Commands {
    /// Cancels a command and returns its final state. A command that was not sent never will be; the
    /// dispatcher that talks to the vehicle stops.
    pub async fn cancel(&self, caller: &Caller, command_id: CommandId) -> Result<Command> {
        caller.require(Permission::CancelCommands)?;
        let cancel = async |transaction: &mut Transaction, now| {
            let Some(command) = super::find(transaction, caller, command_id).await? else {
                return Ok(None);
            };
            let entry = open_entry(queue::lock(transaction, command_id).await?)?;
            let failure = self.failure(&command, &entry);
            audit::insert(transaction, &audit_entry(caller, &command, &failure), now).await?;
            // The locks may have taken a while, in which the command may have started.
            let now = self.access.now();
            let holder = entry.lease.filter(|lease| lease.until > now);
            let ended = completion::fail(
                &self.catalog,
                transaction,
                command_id,
                &failure,
                holder,
                now,
            )
            .await?
            .ok_or(ENDED)?;
            if let Some(lease) = holder {
                notifications::send(transaction, Notification::Cancelled(lease.id)).await?;
            }
            Ok(Some(ended))
        };
        let Some(ended) = self.access.change(caller, cancel).await? else {
            let object = Concealed::Command(command_id);
            return Err(self.access.missing(caller, object, "command.cancel").await);
        };
        self.event_publisher.publish_state(&ended);
        self.work_notifier.notify();
        Ok(ended)
    }

    /// Returns how the command ends if it is cancelled now. The number of sends is recorded before a
    /// connector gets the command, so 0 means that none ever did.
    fn failure(&self, command: &Command, entry: &Entry) -> Failure {
        let spec = self.catalog.get(&command.command_name);
        if entry.send_count == 0 {
            return Failure::new(FailureKind::Cancelled, "cancelled before it was sent");
        }
        if spec.is_some_and(|spec| spec.idempotent) {
            let message = "cancelled before its response was complete";
            return Failure::new(FailureKind::Cancelled, message);
        }
        let message = "cancelled after it was sent; the vehicle may have acted on it";
        Failure::new(FailureKind::OutcomeUnknown, message)
    }
}

fn audit_entry(caller: &Caller, command: &Command, failure: &Failure) -> AuditEntry {
    AuditEntry {
        vehicle_id: Some(command.vehicle_id),
        command_id: Some(command.command_id),
        details: json!({
            "command_name": command.command_name,
            "failure_kind": failure.kind,
        }),
        ..caller.audit_of("command.cancel", "command", command.command_id.0)
    }
}

const ENDED: ServiceError = ServiceError::NotCancellable {
    reason: "it has ended",
};

fn open_entry(entry: Option<Entry>) -> Result<Entry> {
    match entry {
        Some(entry) if entry.is_cancelled => Err(ENDED),
        Some(entry) if entry.is_answered => Err(ServiceError::NotCancellable {
            reason: "the vehicle has responded to it",
        }),
        Some(entry) if entry.task == Task::Command => Ok(entry),
        Some(_) | None => Err(ENDED),
    }
}
