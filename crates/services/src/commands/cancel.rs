use serde_json::json;
use sovd_domain::{AuditEntry, Command, CommandId, FailureKind, Permission};
use sovd_storage::{
    audit,
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
        let now = self.environment.clock.now();
        let mut transaction = self.environment.database.begin().await?;
        if let Err(refusal) = caller.hold(&mut transaction, now).await {
            transaction.rollback().await?;
            return Err(refusal);
        }
        let found = super::find(&mut transaction, caller, command_id).await?;
        let Some(command) = found else {
            transaction.rollback().await?;
            return Err(self.missing(caller, command_id, "command.cancel").await?);
        };
        let entry = match open_entry(queue::lock(&mut transaction, command_id).await?) {
            Ok(entry) => entry,
            Err(refusal) => {
                transaction.rollback().await?;
                return Err(refusal);
            }
        };
        let failure = self.failure(&command, &entry);
        let audit_entry = AuditEntry {
            entity_id: Some(command_id.0),
            vehicle_id: Some(command.vehicle_id),
            command_id: Some(command_id),
            details: json!({
                "command_name": command.command_name,
                "failure_kind": failure.kind,
            }),
            ..caller.audit("command.cancel", "command")
        };
        let talking = entry.lease.filter(|lease| lease.until > now);
        audit::insert(&mut transaction, &audit_entry, now).await?;
        let ended = completion::fail(
            &self.environment,
            &mut transaction,
            command_id,
            &failure,
            talking,
        )
        .await?;
        let Some(ended) = ended else {
            transaction.rollback().await?;
            return Err(ENDED);
        };
        if let Some(lease) = talking {
            signals::send(&mut transaction, Signal::CalledOff(lease.id)).await?;
        }
        transaction.commit().await?;

        self.environment.event_publisher.publish_state(&ended);
        self.environment.work_notifier.notify();
        Ok(ended)
    }

    /// What is known of the vehicle when the command is called off now. It is noted before a command
    /// is handed to a connector, so 0 means that none ever had it.
    fn failure(&self, command: &Command, entry: &Entry) -> Failure {
        let spec = self.environment.catalog.get(&command.command_name);
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
