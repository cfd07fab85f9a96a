use std::{sync::atomic::AtomicBool, time::Duration};

use serde_json::{Value, json};
use sovd_domain::{
    AuditEntry, Command, CommandId, CommandSpec, CommandStatus, FieldError, IdempotencyKey,
    Permission, Risk, VehicleId,
};
use sovd_storage::{
    StorageError, Transaction,
    commands::{
        self, batch,
        idempotency::{self, KeyedRequest},
    },
    fleet::vehicles,
};

use super::{Commands, KEY_LIFETIME, fingerprint::fingerprint, submission_writer::Accepted};
use crate::{error::ServiceError, group_commit::BatchOutcome, identity::caller::Caller};

/// A command to submit.
#[derive(Debug, Clone)]
pub struct Submission {
    /// The vehicle.
    pub vehicle_id: VehicleId,
    /// The name in the catalog.
    pub command_name: String,
    /// The parameters.
    pub command_params: Value,
    /// Time in which it may be sent; the default depends on the risk.
    pub expires_in: Option<Duration>,
    /// Whether a command that does more than read waits for a disconnected vehicle.
    pub queue_if_offline: bool,
    /// Whether it is sent without storing evidence first.
    pub skip_evidence: bool,
    /// Makes a repeated request with the same key return the first command, for a day.
    pub idempotency_key: Option<IdempotencyKey>,
}

/// The result of a submission.
#[derive(Debug, Clone, PartialEq)]
pub struct Submitted {
    /// The command as it was accepted.
    pub command: Command,
    /// Whether an earlier submission with the same key created it.
    pub is_replay: bool,
}

impl Commands {
    /// Accepts a command. When this returns, the command, its queue entry and its audit entry are
    /// committed.
    ///
    /// # Errors
    ///
    /// [`ServiceError::Invalid`] with every invalid field; [`ServiceError::Forbidden`] if the role may not
    /// send this command; [`ServiceError::NotFound`] if the vehicle does not exist or is not the caller's;
    /// [`ServiceError::VehicleOffline`] if it is disconnected and the command does not wait;
    /// [`ServiceError::IdempotencyMismatch`] if the key belongs to a different request;
    /// [`ServiceError::RateLimited`], [`ServiceError::QueueFull`] and [`ServiceError::TooManyWaiting`] if a
    /// limit is reached.
    pub async fn submit(
        &self,
        caller: &Caller,
        submission: Submission,
    ) -> Result<Submitted, ServiceError> {
        caller.require(Permission::SubmitCommands)?;
        let spec = self.check(caller, &submission).await?;
        let vehicle_id = submission.vehicle_id;
        if !self
            .access
            .can_access_vehicle(caller, vehicle_id, "command.submit")
            .await?
        {
            return Err(UNKNOWN_VEHICLE);
        }
        let accepted = self.accepted(caller, spec, submission);
        let command = accepted.command.clone();
        let earlier = match self.submissions.commit(accepted).await? {
            BatchOutcome::Committed(outcome) => outcome.map(|()| None)?,
            BatchOutcome::Alone(accepted) => self.write_alone(&accepted).await?,
        };
        if let Some(earlier) = earlier {
            return Ok(Submitted {
                command: earlier.as_submitted(),
                is_replay: true,
            });
        }
        Ok(Submitted {
            command,
            is_replay: false,
        })
    }

    /// Writes a submission in a transaction of its own. Writes nothing if it is a repetition, and returns
    /// the command of the first one.
    async fn write_alone(&self, accepted: &Accepted) -> Result<Option<Command>, ServiceError> {
        let vehicle_id = accepted.command.vehicle_id;
        let lock = self.submission_locks.acquire(vehicle_id).await;
        let too_many =
            || StorageError::Unavailable("too many submissions to one vehicle".to_owned());
        let _lock = lock.ok_or_else(too_many)?;
        let write =
            async |transaction: &mut Transaction, _| self.write(transaction, accepted).await;
        let earlier = self.access.change(&accepted.caller, write).await?;
        if earlier.is_none() {
            self.event_publisher.publish_state(&accepted.command);
            self.work_notifier.notify();
        }
        Ok(earlier)
    }

    async fn write(
        &self,
        transaction: &mut Transaction,
        accepted: &Accepted,
    ) -> Result<Option<Command>, ServiceError> {
        let command = &accepted.command;
        // In the order of a batch: the user, the vehicle, the key.
        let has_room = self.waiting.check_user(transaction, command.user_id).await;
        if let Err(ServiceError::Unavailable(error)) = has_room {
            return Err(error.into());
        }
        let vehicle = vehicles::lock(transaction, command.vehicle_id).await?;
        if let Some(request) = accepted.keyed_request() {
            let earlier = replayed(transaction, request, command).await?;
            if earlier.is_some() {
                return Ok(earlier);
            }
        }
        accepted.count(&self.limits).await?;
        has_room?;
        let Some(vehicle) = vehicle else {
            return Err(UNKNOWN_VEHICLE);
        };
        if !vehicle.is_connected() && !accepted.may_wait {
            return Err(ServiceError::VehicleOffline);
        }
        self.waiting
            .check_vehicle(transaction, command.vehicle_id)
            .await?;
        batch::insert(transaction, &[accepted.new_command()], command.submitted_at).await?;
        Ok(None)
    }

    /// Returns the catalog entry.
    fn known(&self, submission: &Submission) -> Result<&CommandSpec, ServiceError> {
        let catalog = &self.catalog;
        catalog.get(&submission.command_name).ok_or_else(|| {
            let known: Vec<&str> = catalog.iter().map(|spec| spec.name).collect();
            let detail = format!("is not in the catalog; accepted are {}", known.join(", "));
            ServiceError::Invalid(vec![FieldError::new("/command_name", detail)])
        })
    }

    /// Returns the catalog entry after checking the role and the parameters.
    async fn check(
        &self,
        caller: &Caller,
        submission: &Submission,
    ) -> Result<&CommandSpec, ServiceError> {
        let spec = self.known(submission)?;
        if !spec.is_allowed_to(caller.user.role) {
            let target = format!("command {}", spec.name);
            let permission = Permission::SubmitCommands;
            self.access
                .agents()
                .record_blocked_attempt(caller, permission, target)
                .await?;
            return Err(ServiceError::Forbidden);
        }
        let schema = &spec.params_schema;
        let mut errors = schema.check(&submission.command_params, "/command_params");
        if submission.skip_evidence && spec.evidence.is_none() {
            let detail = "must be false: this command erases nothing that could be secured";
            errors.push(FieldError::new("/skip_evidence", detail));
        }
        if errors.is_empty() {
            Ok(spec)
        } else {
            Err(ServiceError::Invalid(errors))
        }
    }

    fn accepted(
        &self,
        caller: &Caller,
        spec: &CommandSpec,
        mut submission: Submission,
    ) -> Accepted {
        let now = self.access.now();
        let key = submission.idempotency_key.take();
        let command = Command {
            command_id: CommandId(self.random.uuid()),
            user_id: caller.user.user_id,
            vehicle_id: submission.vehicle_id,
            command_name: submission.command_name.clone(),
            command_params: submission.command_params.clone(),
            status: CommandStatus::Pending,
            failure_kind: None,
            error_message: None,
            submitted_at: now,
            started_at: None,
            completed_at: None,
            expires_at: now + submission.expires_in.unwrap_or(spec.risk.default_expiry()),
            finding: None,
        };
        Accepted {
            caller: caller.clone(),
            audit_entry: audit_entry(caller, spec, &submission, &command),
            may_wait: spec.risk == Risk::Read || submission.queue_if_offline,
            skip_evidence: submission.skip_evidence,
            key: key.map(|key| (key, fingerprint(&submission))),
            command,
            is_counted: AtomicBool::new(false),
        }
    }
}

const UNKNOWN_VEHICLE: ServiceError = ServiceError::NotFound {
    what: "vehicle",
    pointer: Some("/vehicle_id"),
};

/// Remembers the key for `command`, or returns the command that it identifies already.
async fn replayed(
    transaction: &mut Transaction,
    request: KeyedRequest<'_>,
    command: &Command,
) -> Result<Option<Command>, ServiceError> {
    let now = command.submitted_at;
    let forget_before = now - KEY_LIFETIME;
    let remembered =
        idempotency::remember(transaction, request, command.command_id, now, forget_before);
    match remembered.await? {
        None => Ok(None),
        Some(known) if known.fingerprint == request.fingerprint => {
            Ok(commands::find(transaction, known.command_id, None).await?)
        }
        Some(_) => Err(ServiceError::IdempotencyMismatch),
    }
}

fn audit_entry(
    caller: &Caller,
    spec: &CommandSpec,
    submission: &Submission,
    command: &Command,
) -> AuditEntry {
    AuditEntry {
        entity_id: Some(command.command_id.0),
        vehicle_id: Some(command.vehicle_id),
        command_id: Some(command.command_id),
        details: json!({
            "command_name": spec.name,
            "command_params": command.command_params,
            "risk": spec.risk,
            "queue_if_offline": submission.queue_if_offline,
            "skip_evidence": submission.skip_evidence,
        }),
        ..caller.audit("command.submit", "command")
    }
}
