//! A claimed task: what every attempt at it reads, writes and publishes.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use chrono::{DateTime, Utc};
use serde_json::Value;
use sovd_connector::{CommandRequest, ConnectorError};
use sovd_domain::{Command, Finding, Response, ResponseId, Vehicle};
use sovd_storage::{
    StorageError,
    commands::queue::{self, Claim, Task},
};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::{
    Dispatcher, attempt,
    lease::LeaseEnd,
    probe,
    response_writer::NewResponse,
    send_failure::{Resolution, SendFailure},
    write::{Position, Write, Written},
};
use crate::{commands::completion::Failure, group_commit::BatchOutcome};

/// Maximum number of chunks in one response.
pub(super) const MAX_CHUNKS: usize = 10_000;

/// Delay before the database is tried again.
const RETRY_DELAY: Duration = Duration::from_millis(250);

/// A task that this process has claimed.
pub(super) struct ClaimedTask {
    pub(super) dispatcher: Dispatcher,
    pub(super) claim: Claim,
    pub(super) subject: Subject,
    /// Whether the claim has recorded that the command may reach the vehicle.
    pub(super) is_marked_sent: bool,
    /// Whether the vehicle may have another task after this one.
    pub(super) has_next_task: AtomicBool,
    pub(super) lease_end: LeaseEnd,
    pub(super) stops: Stops,
}

/// What stops a task from outside.
pub(super) struct Stops {
    /// The process shuts down.
    pub(super) give_up: CancellationToken,
    /// The command was cancelled.
    pub(super) cancelled: CancellationToken,
}

/// Why a task stops without a disposition.
#[derive(Debug)]
pub(super) enum Abandoned {
    /// The command was cancelled, or another process holds the claim, or will when the lease expires.
    ClaimLost,
    /// This process shuts down.
    ShuttingDown,
    /// The database rejects a statement.
    Storage(StorageError),
}

/// Why an attempt stops in the middle.
#[derive(Debug)]
pub(super) enum Interruption {
    /// The attempt failed.
    Failed(SendFailure),
    /// The task was abandoned.
    Abandoned(Abandoned),
}

impl Interruption {
    /// Returns the failure of the attempt.
    ///
    /// # Errors
    ///
    /// Returns why the task was abandoned.
    pub(super) fn into_failure(self) -> Result<SendFailure, Abandoned> {
        match self {
            Self::Failed(failure) => Ok(failure),
            Self::Abandoned(abandoned) => Err(abandoned),
        }
    }
}

impl From<SendFailure> for Interruption {
    fn from(failure: SendFailure) -> Self {
        Self::Failed(failure)
    }
}

impl From<ConnectorError> for Interruption {
    fn from(error: ConnectorError) -> Self {
        Self::Failed(error.into())
    }
}

impl From<Abandoned> for Interruption {
    fn from(abandoned: Abandoned) -> Self {
        Self::Abandoned(abandoned)
    }
}

/// What becomes of a task after an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Disposition {
    /// It has ended.
    Done,
    /// It is due again at this moment.
    RetryAt(DateTime<Utc>),
}

/// What a task is about.
pub(super) struct Subject {
    pub(super) command: Command,
    pub(super) vehicle: Vehicle,
    /// The sequence number of the last stored response.
    pub(super) last_number: i32,
}

impl Subject {
    /// Returns the request for the connector.
    pub(super) fn request(&self) -> CommandRequest {
        CommandRequest {
            command_id: self.command.command_id,
            vehicle_id: self.vehicle.vehicle_id,
            vin: self.vehicle.vin.clone(),
            command_name: self.command.command_name.clone(),
            params: self.command.command_params.clone(),
        }
    }
}

impl ClaimedTask {
    /// Makes one attempt at the task; returns the moment of the next one, if there is one.
    pub(super) async fn run(&self) -> Option<DateTime<Utc>> {
        let command_id = self.claim.command_id;
        match self.attempt_under_lease().await {
            Ok(Disposition::Done) => None,
            Ok(Disposition::RetryAt(moment)) => Some(moment),
            Err(Abandoned::ClaimLost) => {
                tracing::warn!(%command_id, "claim lost; further responses are not stored");
                self.release_vehicle().await;
                None
            }
            Err(Abandoned::ShuttingDown) => {
                tracing::warn!(%command_id, "abandoned at shutdown; another process continues");
                self.release().await;
                None
            }
            Err(Abandoned::Storage(error)) => {
                tracing::error!(%command_id, %error, "abandoned until the lease expires");
                None
            }
        }
    }

    /// Makes one attempt while the lease is kept. Losing the lease drops the connector's stream.
    async fn attempt_under_lease(&self) -> Result<Disposition, Abandoned> {
        tokio::select! {
            biased;
            () = self.stops.cancelled.cancelled() => Err(Abandoned::ClaimLost),
            () = self.stops.give_up.cancelled() => Err(Abandoned::ShuttingDown),
            // Before the lease, which ends together with the task.
            disposition = self.attempt() => disposition,
            lost = self.keep_lease() => Err(lost),
        }
    }

    async fn attempt(&self) -> Result<Disposition, Abandoned> {
        match self.claim.entry.task {
            Task::Command => attempt::run(self).await,
            Task::Probe => probe::run(self).await,
        }
    }

    /// Waits for the vehicle until `deadline`. The connector has the task, so it may have been sent.
    pub(super) async fn before<T>(
        &self,
        deadline: DateTime<Utc>,
        response: impl Future<Output = T>,
    ) -> Result<T, SendFailure> {
        let timeout = ConnectorError::Timeout { sent: true };
        if self.now() >= deadline {
            return Err(timeout.into());
        }
        tokio::select! {
            biased;
            value = response => Ok(value),
            () = self.dispatcher.context.clock.sleep_until(deadline) => Err(timeout.into()),
        }
    }

    /// Marks the command as in progress: a connector has it, though it is not sent yet.
    pub(super) async fn mark_started(&self) -> Result<(), Abandoned> {
        self.write(Write::Start).await.map(drop)
    }

    /// Records that the command may reach the vehicle for the `send_count`-th time, which must precede the
    /// sending. Returns `false`, and records nothing, if the command has expired.
    pub(super) async fn mark_sent(&self, send_count: i32) -> Result<bool, Abandoned> {
        self.write(Write::Send { send_count }).await
    }

    /// Records that a probe may reach the vehicle for the `send_count`-th time.
    pub(super) async fn mark_probed(&self, send_count: i32) -> Result<(), Abandoned> {
        self.write(Write::Probe { send_count }).await.map(drop)
    }

    /// Stores a response; the final one completes the command.
    pub(super) async fn store(
        &self,
        number: i32,
        payload: Value,
        position: Position,
    ) -> Result<(), Abandoned> {
        let command_id = self.claim.command_id;
        let response = Response {
            response_id: ResponseId(self.dispatcher.context.random.uuid()),
            command_id,
            response_payload: payload,
            sequence_number: number,
            is_final: matches!(position, Position::Final { .. }),
            received_at: self.now(),
        };
        let stored = match position {
            Position::BeforeEvidence => self.write(Write::Store { response, position }).await,
            Position::Middle => self.write_response(response, None).await,
            Position::Final { detect_from } => self.write_response(response, detect_from).await,
        };
        if matches!(stored, Err(Abandoned::ClaimLost)) {
            tracing::warn!(%command_id, number, "late response not stored");
        }
        stored.map(drop)
    }

    /// Ends the command as failed.
    pub(super) async fn fail(&self, failure: Failure) -> Result<Disposition, Abandoned> {
        self.write(Write::Fail(failure)).await?;
        Ok(Disposition::Done)
    }

    /// Ends the probe with what it found.
    pub(super) async fn record_finding(
        &self,
        finding: Finding,
        grounds: Value,
    ) -> Result<Disposition, Abandoned> {
        self.write(Write::Conclude { finding, grounds }).await?;
        Ok(Disposition::Done)
    }

    /// Fails or postpones the command after `failure`.
    pub(super) async fn settle(
        &self,
        failure: &SendFailure,
        is_idempotent: bool,
    ) -> Result<Disposition, Abandoned> {
        match failure.resolution(is_idempotent, self.claim.entry.send_count + 1) {
            Resolution::Fail(kind) => self.fail(Failure::new(kind, failure.to_string())).await,
            Resolution::Retry => self.postpone(failure).await,
        }
    }

    /// Postpones the task after `failure`. Unless the failure proves that nothing was sent, the attempt
    /// counts as one more send.
    pub(super) async fn postpone(&self, failure: &SendFailure) -> Result<Disposition, Abandoned> {
        let (entry, command_id) = (&self.claim.entry, self.claim.command_id);
        let random = self.dispatcher.context.random.as_ref();
        let delay = self
            .dispatcher
            .settings
            .backoff
            .delay(entry.attempt, random);
        let due_at = (self.now() + delay).min(entry.expires_at);
        let send_count = entry.send_count + i32::from(!failure.is_unsent());
        let reason = sovd_storage::text::storable(&failure.to_string());
        tracing::info!(%command_id, %due_at, reason, "attempt failed; retrying");
        self.write(Write::Postpone {
            due_at,
            send_count,
            reason,
        })
        .await?;
        Ok(Disposition::RetryAt(due_at))
    }

    /// Stores a response together with those of other attempts.
    async fn write_response(
        &self,
        response: Response,
        detect_from: Option<i32>,
    ) -> Result<bool, Abandoned> {
        let new = Arc::new(NewResponse {
            claim: self.claim,
            vehicle_id: self.subject.vehicle.vehicle_id,
            response,
            detect_from,
        });
        let responses = &self.dispatcher.responses;
        let outcome = self.retry(|| responses.commit(Arc::clone(&new))).await?;
        let BatchOutcome::Committed(stored) = outcome else {
            return self.write(new.alone()).await;
        };
        // After anything but a completion, the task itself may be due again.
        if new.response.is_final {
            self.has_next_task
                .store(stored.has_next_task, Ordering::Relaxed);
        }
        Ok(true)
    }

    /// Commits `write` and publishes it. Returns `false` if it came too late to have an effect.
    async fn write(&self, write: Write) -> Result<bool, Abandoned> {
        let context = &self.dispatcher.context;
        match self.retry(|| write.commit(context, &self.claim)).await? {
            Written::Published(publications) => {
                context.publish(publications);
                Ok(true)
            }
            Written::Expired => Ok(false),
            Written::ClaimLost => Err(Abandoned::ClaimLost),
        }
    }

    /// Runs `work` until the database is available. An expiring lease ends the attempt meanwhile.
    pub(super) async fn retry<T, F>(&self, work: impl Fn() -> F) -> Result<T, Abandoned>
    where
        F: Future<Output = Result<T, StorageError>>,
    {
        loop {
            match work().await {
                Ok(value) => return Ok(value),
                Err(StorageError::Unavailable(reason)) => {
                    let command_id = self.claim.command_id;
                    tracing::warn!(%command_id, %reason, "database unavailable; retrying");
                    sleep(RETRY_DELAY).await;
                }
                Err(error) => return Err(Abandoned::Storage(error)),
            }
        }
    }

    pub(super) fn now(&self) -> DateTime<Utc> {
        self.dispatcher.context.clock.now()
    }

    /// Frees the vehicle of a cancelled command, which this process no longer talks to.
    async fn release_vehicle(&self) {
        let release = async {
            let mut connection = self.dispatcher.context.database.connection().await?;
            queue::release_vehicle(&mut connection, &self.claim).await
        };
        if let Err(error) = release.await {
            tracing::warn!(%error, "failed to release the vehicle; its lease will expire");
        }
    }

    /// Returns the claim to the queue.
    async fn release(&self) {
        let release = async {
            let mut connection = self.dispatcher.context.database.connection().await?;
            queue::release(&mut connection, &self.claim).await
        };
        if let Err(error) = release.await {
            tracing::warn!(%error, "failed to release the claim; its lease will expire");
        }
    }
}
