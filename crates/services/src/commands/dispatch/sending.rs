//! A command on its way to its vehicle.

use futures_util::{FutureExt, StreamExt};
use serde_json::{Value, json};
use sovd_connector::{Connector, ResponseStream};
use sovd_domain::{CommandSpec, Evidence, FailureKind};
use sovd_storage::commands::responses;

use super::{
    execution::{Abandoned, Execution, Left, MAX_CHUNKS, Subject},
    outcome::{Setback, Verdict},
    record::{self, Place, Recorded},
};
use crate::commands::completion::Failure;

/// The mark of a reading of the faults before they are cleared.
const BEFORE: &str = "before";
const AFTER: &str = "after";

/// Sends the command, unless an earlier holder of the claim has settled its fate.
pub(super) async fn run(execution: &Execution, subject: Subject) -> Result<Left, Abandoned> {
    let dispatcher = &execution.dispatcher;
    let entry = &execution.claim.entry;
    let spec = dispatcher
        .environment
        .catalog
        .get(&subject.command.command_name);
    let connector = dispatcher.connectors.connector_for(&subject.vehicle);
    let connector = connector.map_err(|error| error.to_string());
    let (spec, connector) = match (spec, connector) {
        (Some(spec), Ok(connector)) => (spec, connector),
        (_, Err(fault)) => return cannot_go_on(execution, &subject, &fault).await,
        (None, Ok(_)) => {
            return cannot_go_on(execution, &subject, "the catalogue has it no more").await;
        }
    };
    if entry.sends > 0 && !entry.is_answered {
        let verdict = Setback::SenderDied.verdict(spec.idempotent, entry.sends);
        if let Verdict::End(kind) = verdict {
            let failure = Failure::new(kind, Setback::SenderDied.to_string());
            return execution.fail(failure).await;
        }
    }
    let sending = Sending {
        last_number: subject.last_number,
        execution,
        subject,
        spec,
        connector,
    };
    if entry.is_answered {
        sending.report().await
    } else {
        sending.run().await
    }
}

/// Ends the command because of a fault of ours: as completed if the vehicle has answered it.
async fn cannot_go_on(
    execution: &Execution,
    subject: &Subject,
    fault: &str,
) -> Result<Left, Abandoned> {
    let entry = &execution.claim.entry;
    if !entry.is_answered {
        return execution.fail(Failure::ours(entry.sends, fault)).await;
    }
    let unread = json!({ "evidence": AFTER, "error": fault });
    let number = subject.last_number + 1;
    let place = Place::End {
        begins_with: number,
    };
    execution.write(number, unread, place).await?;
    Ok(Left::Done)
}

/// One attempt.
struct Sending<'a> {
    execution: &'a Execution,
    subject: Subject,
    spec: &'a CommandSpec,
    connector: &'a dyn Connector,
    last_number: i32,
}

impl Sending<'_> {
    async fn run(mut self) -> Result<Left, Abandoned> {
        let entry = &self.execution.claim.entry;
        if let Some(evidence) = self.spec.evidence.filter(|_| !entry.skip_evidence)
            && let Some(left) = self.secure(&evidence).await?
        {
            return Ok(left);
        }
        let sends = entry.sends + 1;
        let environment = &self.execution.dispatcher.environment;
        let claim = &self.execution.claim;
        let recorded = self
            .execution
            .persist(|| record::sending(environment, claim, sends))
            .await?;
        let is_late = self.execution.now() >= entry.expires_at;
        if recorded == Recorded::Expired || is_late {
            return self.execution.fail(Failure::expired(entry.sends)).await;
        }
        self.execution.tell(recorded)?;
        if !self.execution.holds_lease() {
            return Err(Abandoned::ClaimLost);
        }
        match self.converse().await? {
            Ok(()) if self.spec.evidence.is_some() => self.report().await,
            Ok(()) => Ok(Left::Done),
            Err(setback) => self.settle(&setback, sends).await,
        }
    }

    /// Stores the faults that are about to be erased. Gives how the task is left if it must not go
    /// on, because they cannot be had.
    async fn secure(&mut self, evidence: &Evidence) -> Result<Option<Left>, Abandoned> {
        let environment = &self.execution.dispatcher.environment;
        let claim = &self.execution.claim;
        let entry_sends = claim.entry.sends;
        let recorded = self
            .execution
            .persist(|| record::started(environment, claim))
            .await?;
        self.execution.tell(recorded)?;
        let read = self
            .execution
            .read_faults(self.connector, evidence, &self.subject)
            .await;
        let setback = match read {
            Ok(chunks) if self.is_secured(&chunks).await? => return Ok(None),
            Ok(chunks) => {
                let payload = note(evidence, BEFORE, &json!({ "chunks": chunks }));
                match self.write(payload, Place::Middle).await? {
                    Ok(()) => return Ok(None),
                    Err(setback) => setback,
                }
            }
            Err(setback) => setback,
        };
        if setback.is_unsent() {
            return self
                .execution
                .postpone(&setback, entry_sends)
                .await
                .map(Some);
        }
        let message =
            format!("nothing was cleared, because the faults could not be read: {setback}");
        let failure = Failure::new(FailureKind::Rejected, message);
        self.execution.fail(failure).await.map(Some)
    }

    /// Whether an earlier attempt stored these very faults.
    async fn is_secured(&self, chunks: &[Value]) -> Result<bool, Abandoned> {
        if self.last_number == 0 {
            return Ok(false);
        }
        let stored = self.execution.secured_faults().await?;
        Ok(stored.as_deref() == Some(chunks))
    }

    /// Sends the command and stores every chunk of the answer.
    async fn converse(&mut self) -> Result<Result<(), Setback>, Abandoned> {
        let execution = self.execution;
        let begins_with = self.last_number + 1;
        let mut deadline = execution.now() + self.spec.timeout;
        let answer = execution.before(deadline, self.connector.execute(self.subject.request()));
        let mut answer = match answer.await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => return Ok(Err(error.into())),
            Err(setback) => return Ok(Err(setback)),
        };
        for chunks_before in 0..MAX_CHUNKS {
            let chunk = match execution.before(deadline, answer.next()).await {
                Ok(Some(Ok(chunk))) => chunk,
                Ok(Some(Err(error))) => return Ok(Err(Setback::after(chunks_before, error))),
                Ok(None) => return Ok(Err(Setback::CutShort)),
                Err(setback) => return Ok(Err(setback)),
            };
            let place = match (chunk.is_final, self.spec.evidence) {
                (false, _) => Place::Middle,
                (true, Some(_)) => Place::EndOfAnswer,
                (true, None) => Place::End { begins_with },
            };
            let answered_at = execution.now();
            if let Err(setback) = self.write(chunk.payload, place).await? {
                return Ok(Err(setback));
            }
            // The time that our database takes is not the vehicle's.
            deadline += execution.now() - answered_at;
            if chunk.is_final {
                self.warn_of_more(answer);
                return Ok(Ok(()));
            }
        }
        Ok(Err(Setback::CutShort))
    }

    /// Reads what is left of the faults, and completes the command: the vehicle has answered it,
    /// whatever comes of the reading.
    async fn report(self) -> Result<Left, Abandoned> {
        let Some(evidence) = self.spec.evidence else {
            let unread = json!({ "evidence": AFTER, "error": "the catalogue does not say how" });
            return self.finish(unread).await;
        };
        let read = self
            .execution
            .read_faults(self.connector, &evidence, &self.subject)
            .await;
        let result = match read {
            Ok(chunks) => json!({ "chunks": chunks }),
            Err(setback) => json!({ "error": setback.to_string().replace('\0', "") }),
        };
        self.finish(note(&evidence, AFTER, &result)).await
    }

    async fn finish(mut self, payload: Value) -> Result<Left, Abandoned> {
        let place = Place::End {
            begins_with: self.last_number + 1,
        };
        let Err(setback) = self.write(payload, place).await? else {
            return Ok(Left::Done);
        };
        let unread = json!({ "evidence": AFTER, "error": setback.to_string() });
        match self.write(unread, place).await? {
            Ok(()) => Ok(Left::Done),
            Err(setback) => self.settle(&setback, 1).await,
        }
    }

    async fn settle(&self, setback: &Setback, sends: i32) -> Result<Left, Abandoned> {
        match setback.verdict(self.spec.idempotent, sends) {
            Verdict::End(kind) => {
                self.execution
                    .fail(Failure::new(kind, setback.to_string()))
                    .await
            }
            Verdict::TryAgain if setback.is_unsent() => {
                self.execution.postpone(setback, sends - 1).await
            }
            Verdict::TryAgain => self.execution.postpone(setback, sends).await,
        }
    }

    /// Stores the next part of the answer. A database that does not take it is a setback, one that
    /// is away is waited for.
    async fn write(
        &mut self,
        payload: Value,
        place: Place,
    ) -> Result<Result<(), Setback>, Abandoned> {
        let number = self.last_number + 1;
        match self.execution.write(number, payload, place).await {
            Ok(()) => {
                self.last_number = number;
                Ok(Ok(()))
            }
            Err(Abandoned::Storage(error)) => {
                let command_id = self.execution.claim.command_id;
                tracing::error!(%command_id, %error, "an answer cannot be stored");
                Ok(Err(Setback::NotStorable))
            }
            Err(abandoned) => Err(abandoned),
        }
    }

    /// What comes after the end is stored nowhere.
    fn warn_of_more(&self, mut rest: ResponseStream) {
        if let Some(Some(_)) = rest.next().now_or_never() {
            let command_id = self.execution.claim.command_id;
            tracing::warn!(%command_id, "a chunk came after the final one");
        }
    }
}

impl Execution {
    /// The faults as they were last read before the clearing, chunk by chunk.
    pub(super) async fn secured_faults(&self) -> Result<Option<Vec<Value>>, Abandoned> {
        let database = &self.dispatcher.environment.database;
        let command_id = self.claim.command_id;
        let stored = self
            .persist(async || {
                let mut connection = database.connection().await?;
                responses::list(&mut connection, command_id, 0).await
            })
            .await?;
        let last = stored
            .iter()
            .rev()
            .find_map(|response| chunks_before(&response.response_payload));
        Ok(last.cloned())
    }
}

impl Failure {
    /// The fault is ours. It is not said so of a command that may have acted.
    fn ours(sends: i32, message: &str) -> Self {
        let kind = if sends == 0 {
            FailureKind::Internal
        } else {
            FailureKind::OutcomeUnknown
        };
        Self::new(kind, message)
    }

    /// The time to send it is over.
    fn expired(sends: i32) -> Self {
        if sends == 0 {
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

/// A part of the answer that is not the vehicle's own: a reading around the command.
fn note(evidence: &Evidence, mark: &str, result: &Value) -> Value {
    let mut note = json!({ "evidence": mark, "command_name": evidence.command_name });
    if let (Some(note), Some(result)) = (note.as_object_mut(), result.as_object()) {
        note.extend(result.clone());
    }
    note
}

/// The chunks of a reading before the clearing, if `payload` is one.
fn chunks_before(payload: &Value) -> Option<&Vec<Value>> {
    (payload.get("evidence")? == BEFORE)
        .then(|| payload.get("chunks"))
        .flatten()
        .and_then(Value::as_array)
}
