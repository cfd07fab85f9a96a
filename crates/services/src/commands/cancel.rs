use serde_json::json;
use sovd_domain::{AuditEntry, Command, CommandId, FailureKind, Permission};
use sovd_storage::{
    Transaction, audit,
    commands::queue::{self, Entry, Task},
    signals::{self, Signal},
};

use super::Commands;
use crate::{
    commands::completion::{self, Failure},
    error::ServiceError,
    identity::caller::Caller,
};

impl Commands {
    /// Calls a command off and gives it as it has ended. What was never sent will not be; whoever
    /// is talking to the vehicle stops.
    ///
    /// # Errors
    ///
    /// [`ServiceError::NotFound`] when there is no such command that the caller may see;
    /// [`ServiceError::NotCancellable`] when it has ended or the vehicle has answered it.
    pub async fn cancel(
        &self,
        caller: &Caller,
        command_id: CommandId,
    ) -> Result<Command, ServiceError> {
        caller.require(Permission::CancelCommands)?;
        let cancel = async |transaction: &mut Transaction, now| {
            let Some(command) = super::find(transaction, caller, command_id).await? else {
                return Ok(None);
            };
            let entry = open_entry(queue::lock(transaction, command_id).await?)?;
            let failure = self.failure(&command, &entry);
            audit::insert(transaction, &audit_entry(caller, &command, &failure), now).await?;
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
                signals::send(transaction, Signal::CalledOff(lease.id)).await?;
            }
            Ok(Some(ended))
        };
        let Some(ended) = self.access.change(caller, cancel).await? else {
            return Err(self.missing(caller, command_id, "command.cancel").await?);
        };
        self.event_publisher.publish_state(&ended);
        self.work_notifier.notify();
        Ok(ended)
    }

    /// What is known of the vehicle when the command is called off now. It is noted before a command
    /// is handed to a connector, so 0 means that none ever had it.
    fn failure(&self, command: &Command, entry: &Entry) -> Failure {
        let spec = self.catalog.get(&command.command_name);
        if entry.sends == 0 {
            Failure::new(FailureKind::Cancelled, "called off before it was sent")
        } else if spec.is_some_and(|spec| spec.idempotent) {
            Failure::new(
                FailureKind::Cancelled,
                "called off before its answer was complete",
            )
        } else {
            Failure::new(
                FailureKind::OutcomeUnknown,
                "called off after it was sent: the vehicle may have acted on it",
            )
        }
    }
}

fn audit_entry(caller: &Caller, command: &Command, failure: &Failure) -> AuditEntry {
    AuditEntry {
        entity_id: Some(command.command_id.0),
        vehicle_id: Some(command.vehicle_id),
        command_id: Some(command.command_id),
        details: json!({
            "command_name": command.command_name,
            "failure_kind": failure.kind,
        }),
        ..caller.audit("command.cancel", "command")
    }
}

const ENDED: ServiceError = ServiceError::NotCancellable {
    reason: "it has ended",
};

fn open_entry(entry: Option<Entry>) -> Result<Entry, ServiceError> {
    match entry {
        Some(entry) if entry.is_called_off => Err(ENDED),
        Some(entry) if entry.is_answered => Err(ServiceError::NotCancellable {
            reason: "the vehicle has answered it",
        }),
        Some(entry) if entry.task == Task::Command => Ok(entry),
        Some(_) | None => Err(ENDED),
    }
}
