use std::time::Duration;

use serde_json::{Value, json};
use sovd_domain::{
    AuditEntry, Command, CommandId, CommandSpec, CommandStatus, FieldError, Permission, Risk,
    VehicleId,
};
use sovd_storage::{audit, commands, queue, vehicles};

use super::Commands;
use crate::{caller::Caller, error::ServiceError};

/// A command to be sent.
#[derive(Debug, Clone)]
pub struct Submission {
    /// Where to.
    pub vehicle_id: VehicleId,
    /// The name in the catalogue.
    pub command_name: String,
    /// Its parameters.
    pub command_params: Value,
    /// How long it may wait to be sent; the risk decides when it is not said.
    pub expires_in: Option<Duration>,
}

impl Commands {
    /// Accepts a command. When this returns, the command, its place in the queue and the audit
    /// line are safe in the database.
    ///
    /// # Errors
    ///
    /// [`ServiceError::Invalid`] names every bad field; [`ServiceError::Forbidden`] when the
    /// caller may not send this command; [`ServiceError::NotFound`] when there is no such
    /// vehicle; [`ServiceError::VehicleOffline`] when it is not connected and the command is more
    /// than a reading; [`ServiceError::RateLimited`] when the caller sends too many.
    pub async fn submit(
        &self,
        caller: &Caller,
        submission: Submission,
    ) -> Result<Command, ServiceError> {
        caller.require(Permission::SubmitCommands)?;
        let spec = self.check(caller, &submission)?;
        self.limits.count_command(caller.user.user_id)?;
        let command = self.accepted(caller, spec, submission);
        let now = command.submitted_at;

        let turn = self
            .submissions
            .acquire()
            .await
            .map_err(ServiceError::internal)?;
        let mut transaction = self.environment.database.begin().await?;
        let Some(vehicle) = vehicles::lock(&mut transaction, command.vehicle_id).await? else {
            transaction.rollback().await?;
            return Err(ServiceError::NotFound {
                what: "vehicle",
                pointer: Some("/vehicle_id"),
            });
        };
        if !vehicle.is_connected() && spec.risk != Risk::Read {
            transaction.rollback().await?;
            return Err(ServiceError::VehicleOffline);
        }
        commands::insert(&mut transaction, &command).await?;
        queue::push(
            &mut transaction,
            command.command_id,
            command.vehicle_id,
            now,
        )
        .await?;
        audit::insert(&mut transaction, &audit_entry(caller, spec, &command), now).await?;
        transaction.commit().await?;
        drop(turn);

        self.new_work.notify_one();
        Ok(command)
    }

    /// The catalogue's entry, once the caller may send it and its parameters are right.
    fn check(
        &self,
        caller: &Caller,
        submission: &Submission,
    ) -> Result<&CommandSpec, ServiceError> {
        let catalog = &self.environment.catalog;
        let Some(spec) = catalog.get(&submission.command_name) else {
            let known: Vec<&str> = catalog.iter().map(|spec| spec.name).collect();
            let detail = format!("is not in the catalogue; accepted are {}", known.join(", "));
            return Err(ServiceError::Invalid(vec![FieldError::new(
                "/command_name",
                detail,
            )]));
        };
        if !spec.is_allowed_to(caller.user.role) {
            return Err(ServiceError::Forbidden);
        }
        let errors = spec.check_params(&submission.command_params, "/command_params");
        if errors.is_empty() {
            Ok(spec)
        } else {
            Err(ServiceError::Invalid(errors))
        }
    }

    fn accepted(&self, caller: &Caller, spec: &CommandSpec, submission: Submission) -> Command {
        let now = self.environment.clock.now();
        Command {
            command_id: CommandId(self.environment.random.uuid()),
            user_id: caller.user.user_id,
            vehicle_id: submission.vehicle_id,
            command_name: submission.command_name,
            command_params: submission.command_params,
            status: CommandStatus::Pending,
            failure_kind: None,
            error_message: None,
            submitted_at: now,
            started_at: None,
            completed_at: None,
            expires_at: now + submission.expires_in.unwrap_or(spec.risk.default_expiry()),
        }
    }
}

fn audit_entry(caller: &Caller, spec: &CommandSpec, command: &Command) -> AuditEntry {
    AuditEntry {
        entity_id: Some(command.command_id.0),
        vehicle_id: Some(command.vehicle_id),
        command_id: Some(command.command_id),
        details: json!({
            "command_name": spec.name,
            "command_params": command.command_params,
            "risk": spec.risk,
        }),
        ..caller.audit("command.submit", "command")
    }
}
