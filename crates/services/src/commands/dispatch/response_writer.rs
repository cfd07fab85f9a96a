//! Stores the responses of concurrent attempts together.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use sovd_domain::{AuditEntry, Command, CommandId, Response, StreamEvent, VehicleId};
use sovd_storage::{
    StorageError, Transaction, audit,
    commands::{batch, queue::Claim},
    maintenance::detection_jobs,
};

use super::{
    DispatchContext,
    write::{Position, Publication, Write},
};
use crate::{
    commands::completion,
    group_commit::{BatchError, Writer, begin, end},
};

/// A response to store for the holder of a claim.
pub(super) struct NewResponse {
    pub(super) claim: Claim,
    pub(super) vehicle_id: VehicleId,
    /// If it is final, it completes the command.
    pub(super) response: Response,
    /// The first response in which anomalies have to be detected, if the command is completed.
    pub(super) detect_from: Option<i32>,
}

impl NewResponse {
    /// Returns the write that stores the response alone.
    pub(super) fn alone(&self) -> Write {
        let response = self.response.clone();
        let position = if response.is_final {
            Position::Final {
                detect_from: self.detect_from,
            }
        } else {
            Position::Middle
        };
        Write::Store { response, position }
    }
}

/// A stored response.
pub(super) struct Stored {
    /// Whether the vehicle of this response or of another one of the batch may have another task.
    pub(super) has_next_task: bool,
}

/// Stores and publishes responses, and completes the commands of final ones. Leaves out those whose claims
/// are lost or locked.
pub(super) struct ResponseWriter {
    pub(super) context: DispatchContext,
}

impl Writer for ResponseWriter {
    type Change = Arc<NewResponse>;
    type Outcome = Stored;

    async fn commit(
        &self,
        changes: &[Arc<NewResponse>],
    ) -> Result<Vec<Option<Stored>>, BatchError> {
        let mut transaction = begin(&self.context.database).await?;
        let written = self.write(&mut transaction, changes).await;
        let written = end(transaction, written).await?;
        // Here, because the attempt may have been abandoned meanwhile.
        self.context.publish(written.publications);
        Ok(written.outcomes)
    }
}

/// What a batch has written.
struct WrittenBatch {
    outcomes: Vec<Option<Stored>>,
    publications: Vec<Publication>,
}

impl ResponseWriter {
    async fn write(
        &self,
        transaction: &mut Transaction,
        changes: &[Arc<NewResponse>],
    ) -> Result<WrittenBatch, StorageError> {
        let mut sorted: Vec<&NewResponse> = changes.iter().map(AsRef::as_ref).collect();
        sorted.sort_by_key(|new| new.vehicle_id);
        let claims: Vec<&Claim> = sorted.iter().map(|new| &new.claim).collect();
        let held = batch::hold(transaction, &claims).await?;
        sorted.retain(|new| held.contains(&new.claim.lease_id));

        let now = self.context.clock.now();
        let responses: Vec<&Response> = sorted.iter().map(|new| &new.response).collect();
        let completed = batch::store(transaction, &responses, now).await?;
        let has_next_task = finish(transaction, &sorted, &completed, now).await?;
        let outcome = |new: &Arc<NewResponse>| {
            let is_held = held.contains(&new.claim.lease_id);
            is_held.then_some(Stored { has_next_task })
        };
        Ok(WrittenBatch {
            outcomes: changes.iter().map(outcome).collect(),
            publications: publications(&sorted, completed),
        })
    }
}

/// Returns what is to be published, the responses of a command before its completion.
fn publications(responses: &[&NewResponse], completed: Vec<Command>) -> Vec<Publication> {
    let events = responses
        .iter()
        .map(|new| StreamEvent::from(new.response.clone()));
    let has_jobs = responses.iter().any(|new| new.detect_from.is_some());
    events
        .map(Publication::Response)
        .chain(completed.into_iter().map(Publication::State))
        .chain(has_jobs.then_some(Publication::DetectionJob))
        .collect()
}

/// Writes what follows from the completion of commands, and returns whether one of their vehicles has
/// another task.
async fn finish(
    transaction: &mut Transaction,
    responses: &[&NewResponse],
    completed: &[Command],
    now: DateTime<Utc>,
) -> Result<bool, StorageError> {
    if completed.is_empty() {
        return Ok(false);
    }
    let entries: Vec<AuditEntry> = completed.iter().map(completion::audit_entry).collect();
    audit::insert_all(transaction, &entries, now).await?;
    let jobs: Vec<(CommandId, i32)> = responses
        .iter()
        .filter_map(|new| Some((new.claim.command_id, new.detect_from?)))
        .collect();
    if !jobs.is_empty() {
        detection_jobs::push_all(transaction, &jobs, now).await?;
    }
    let vehicle_ids: Vec<VehicleId> = completed.iter().map(|command| command.vehicle_id).collect();
    batch::has_tasks(transaction, &vehicle_ids).await
}
