//! One attempt at a command, from the claim to its disposition.

use futures_util::{FutureExt, StreamExt};
use serde_json::{Value, json};
use sovd_connector::{Connector, ResponseStream};
use sovd_domain::{CommandSpec, Evidence, FailureKind};

use super::{
    evidence::{AFTER, BEFORE, note},
    send_failure::{Resolution, SendFailure},
    task::{Abandoned, ClaimedTask, Disposition, Interruption, MAX_CHUNKS, Subject},
    write::Position,
};
use crate::{commands::completion::Failure, maintenance::detection};

/// One attempt.
struct Attempt<'a> {
    task: &'a ClaimedTask,
    subject: &'a Subject,
    spec: &'a CommandSpec,
    connector: &'a dyn Connector,
    /// The sequence number of the last stored response.
    last_number: i32,
    /// Whether a detection rule matches a trouble code of the response.
    matches_rule: bool,
}

/// Sends the command and stores the response, unless an earlier attempt has decided the outcome.
pub(super) async fn run(task: &ClaimedTask) -> Result<Disposition, Abandoned> {
    let subject = &task.subject;
    let (spec, connector) = match resolve(task, subject) {
        Ok(found) => found,
        Err(fault) => return fail_internally(task, subject, &fault).await,
    };
    let entry = &task.claim.entry;
    let mut attempt = Attempt {
        task,
        last_number: subject.last_number,
        subject,
        spec,
        connector,
        matches_rule: false,
    };

    if entry.is_answered {
        return attempt.complete_with_evidence().await;
    }
    if entry.send_count > 0
        && let Resolution::Fail(kind) =
            SendFailure::SenderDied.resolution(spec.idempotent, entry.send_count)
    {
        let failure = Failure::new(kind, SendFailure::SenderDied.to_string());
        return task.fail(failure).await;
    }

    if let Some(evidence) = spec.evidence.filter(|_| !entry.skip_evidence) {
        task.mark_started().await?;
        if let Err(interruption) = attempt.secure_evidence(&evidence).await {
            let failure = interruption.into_failure()?;
            if failure.is_unsent() {
                return task.postpone(&failure).await;
            }
            let message =
                format!("nothing was cleared, because the faults could not be read: {failure}");
            return task
                .fail(Failure::new(FailureKind::Rejected, message))
                .await;
        }
    }

    let may_send = task.is_marked_sent || task.mark_sent(entry.send_count + 1).await?;
    if !may_send || task.now() >= entry.expires_at {
        return task.fail(Failure::expired(entry.send_count)).await;
    }
    if !task.holds_lease() {
        return Err(Abandoned::ClaimLost);
    }

    if let Err(interruption) = attempt.exchange().await {
        let failure = interruption.into_failure()?;
        return task.settle(&failure, spec.idempotent).await;
    }
    if spec.evidence.is_some() {
        return attempt.complete_with_evidence().await;
    }
    Ok(Disposition::Done)
}

/// Returns the command's catalog entry and the vehicle's connector.
fn resolve<'a>(
    task: &'a ClaimedTask,
    subject: &Subject,
) -> Result<(&'a CommandSpec, &'a dyn Connector), String> {
    let dispatcher = &task.dispatcher;
    let connector = dispatcher
        .connectors
        .connector_for(&subject.vehicle)
        .map_err(|error| error.to_string())?;
    let name = &subject.command.command_name;
    match dispatcher.context.catalog.get(name) {
        Some(spec) => Ok((spec, connector)),
        None => Err("the command is no longer in the catalog".to_owned()),
    }
}

/// Ends the command because of an internal fault: as completed if the vehicle has responded.
async fn fail_internally(
    task: &ClaimedTask,
    subject: &Subject,
    fault: &str,
) -> Result<Disposition, Abandoned> {
    let entry = &task.claim.entry;
    if !entry.is_answered {
        return task.fail(Failure::internal(entry.send_count, fault)).await;
    }
    let unread = json!({ "evidence": AFTER, "error": fault });
    let position = Position::Final { detect_from: None };
    task.store(subject.last_number + 1, unread, position)
        .await?;
    Ok(Disposition::Done)
}

impl Attempt<'_> {
    /// Reads and stores the faults that the command is about to erase.
    async fn secure_evidence(&mut self, evidence: &Evidence) -> Result<(), Interruption> {
        let chunks = self
            .task
            .read_faults(self.connector, evidence, self.subject)
            .await?;
        let is_stored = self.last_number > 0
            && self.task.stored_evidence().await?.as_deref() == Some(chunks.as_slice());
        if is_stored {
            return Ok(());
        }
        let payload = note(evidence, BEFORE, &json!({ "chunks": chunks }));
        self.store(payload, Position::Middle).await
    }

    /// Sends the command and stores every chunk of the response.
    async fn exchange(&mut self) -> Result<(), Interruption> {
        let task = self.task;
        let first_number = self.last_number + 1;
        let mut deadline = task.now() + self.spec.timeout;
        let sending = self.connector.execute(self.subject.request());
        let mut response = task.before(deadline, sending).await??;
        for chunks in 0..MAX_CHUNKS {
            let chunk = match task.before(deadline, response.next()).await? {
                Some(chunk) => chunk.map_err(|error| SendFailure::after(chunks, error))?,
                None => return Err(SendFailure::Truncated.into()),
            };
            if self.spec.reports_faults {
                let rules = &task.dispatcher.context.rules;
                self.matches_rule |= detection::matches_rule(rules, &chunk.payload);
            }
            let position = match (chunk.is_final, self.spec.evidence) {
                (false, _) => Position::Middle,
                (true, Some(_)) => Position::BeforeEvidence,
                (true, None) => Position::Final {
                    detect_from: self.matches_rule.then_some(first_number),
                },
            };
            let received_at = task.now();
            self.store(chunk.payload, position).await?;
            // The time that the database takes does not count against the vehicle.
            deadline += task.now() - received_at;
            if chunk.is_final {
                self.warn_of_further_chunks(response);
                return Ok(());
            }
        }
        Err(SendFailure::Truncated.into())
    }

    /// Reads the remaining faults and completes the command. It completes even if they cannot be read,
    /// because the vehicle has responded.
    async fn complete_with_evidence(mut self) -> Result<Disposition, Abandoned> {
        let payload = match self.spec.evidence {
            None => json!({ "evidence": AFTER, "error": "the catalog does not say how" }),
            Some(evidence) => {
                let read = self
                    .task
                    .read_faults(self.connector, &evidence, self.subject)
                    .await;
                let result = match read {
                    Ok(chunks) => json!({ "chunks": chunks }),
                    Err(failure) => {
                        json!({ "error": sovd_storage::text::storable(&failure.to_string()) })
                    }
                };
                note(&evidence, AFTER, &result)
            }
        };
        let position = Position::Final { detect_from: None };
        let Err(interruption) = self.store(payload, position).await else {
            return Ok(Disposition::Done);
        };
        let failure = interruption.into_failure()?;
        let unread = json!({ "evidence": AFTER, "error": failure.to_string() });
        let Err(interruption) = self.store(unread, position).await else {
            return Ok(Disposition::Done);
        };
        let failure = interruption.into_failure()?;
        self.task.settle(&failure, self.spec.idempotent).await
    }

    /// Stores the next response. A database that rejects it is a failure of the attempt; one that is
    /// unavailable is waited for.
    async fn store(&mut self, payload: Value, position: Position) -> Result<(), Interruption> {
        let number = self.last_number + 1;
        match self.task.store(number, payload, position).await {
            Ok(()) => {
                self.last_number = number;
                Ok(())
            }
            Err(Abandoned::Storage(error)) => {
                let command_id = self.task.claim.command_id;
                tracing::error!(%command_id, %error, "failed to store a response");
                Err(SendFailure::ResponseNotStored.into())
            }
            Err(abandoned) => Err(abandoned.into()),
        }
    }

    fn warn_of_further_chunks(&self, mut response: ResponseStream) {
        if let Some(Some(_)) = response.next().now_or_never() {
            let command_id = self.task.claim.command_id;
            tracing::warn!(%command_id, "discarded a chunk after the final one");
        }
    }
}

impl Failure {
    /// An internal fault. It is not reported as such if the command may have acted.
    fn internal(send_count: i32, message: &str) -> Self {
        let kind = if send_count == 0 {
            FailureKind::Internal
        } else {
            FailureKind::OutcomeUnknown
        };
        Self::new(kind, message)
    }

    /// The time in which the command may be sent is over.
    fn expired(send_count: i32) -> Self {
        if send_count == 0 {
            Self::new(
                FailureKind::Expired,
                "it could not be sent before it expired",
            )
        } else {
            Self::new(
                FailureKind::Timeout,
                "it was sent, not answered, and expired before it could be sent again",
            )
        }
    }
}
