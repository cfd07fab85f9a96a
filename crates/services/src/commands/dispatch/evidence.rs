//! The faults around a command that erases some: read before and after it.

use futures_util::StreamExt;
use serde_json::{Value, json};
use sovd_connector::{CommandRequest, Connector};
use sovd_domain::{CommandSpec, Evidence};
use sovd_storage::commands::responses;

use super::{
    send_failure::SendFailure,
    task::{Abandoned, ClaimedTask, MAX_CHUNKS, Subject},
};

/// Marks the faults read before the command.
pub(super) const BEFORE: &str = "before";
/// Marks the faults read after the command.
pub(super) const AFTER: &str = "after";

impl ClaimedTask {
    /// Reads the faults that the command concerns, and returns the chunks as the vehicle sent them.
    pub(super) async fn read_faults(
        &self,
        connector: &dyn Connector,
        evidence: &Evidence,
        subject: &Subject,
    ) -> Result<Vec<Value>, SendFailure> {
        let request = CommandRequest {
            command_name: evidence.command_name.to_owned(),
            params: evidence.params(&subject.command.command_params),
            ..subject.request()
        };
        let spec = self.dispatcher.context.catalog.get(evidence.command_name);
        let timeout = spec.map_or(CommandSpec::DEFAULT_TIMEOUT, |spec| spec.timeout);
        let deadline = self.now() + timeout;
        let mut response = self.before(deadline, connector.execute(request)).await??;
        let mut payloads = Vec::new();
        while let Some(chunk) = self.before(deadline, response.next()).await? {
            let chunk = chunk?;
            payloads.push(chunk.payload);
            if chunk.is_final {
                return Ok(payloads);
            }
            if payloads.len() >= MAX_CHUNKS {
                break;
            }
        }
        Err(SendFailure::Truncated)
    }

    /// Returns the faults as they were last stored before the command, chunk by chunk.
    pub(super) async fn stored_evidence(&self) -> Result<Option<Vec<Value>>, Abandoned> {
        let database = &self.dispatcher.context.database;
        let read = || async {
            let mut connection = database.connection().await?;
            responses::list(&mut connection, self.claim.command_id, 0).await
        };
        let stored = self.retry(read).await?;
        let last = stored
            .iter()
            .rev()
            .find_map(|response| chunks_before(&response.response_payload));
        Ok(last.cloned())
    }
}

/// Returns the payload of a response that holds evidence.
pub(super) fn note(evidence: &Evidence, mark: &str, result: &Value) -> Value {
    let mut note = json!({ "evidence": mark, "command_name": evidence.command_name });
    if let (Some(note), Some(result)) = (note.as_object_mut(), result.as_object()) {
        note.extend(result.clone());
    }
    note
}

/// Returns the chunks of a reading before the command, if `payload` is one.
fn chunks_before(payload: &Value) -> Option<&Vec<Value>> {
    (payload.get("evidence")? == BEFORE)
        .then(|| payload.get("chunks"))
        .flatten()
        .and_then(Value::as_array)
}
