//! What a claim's holder writes down. Each function is one transaction that first makes sure the
//! claim is still held, so that a process that was thought dead can't write into what another
//! one is doing now.

use serde_json::json;
use sovd_connector::ResponseChunk;
use sovd_domain::{AuditEntry, Command, Response, ResponseId, StreamEvent};
use sovd_storage::{StorageError, Transaction, audit, commands, queue, queue::Claim, responses};

use super::Failure;
use crate::environment::Environment;

/// What came of writing.
#[derive(Debug, PartialEq)]
pub(super) enum Recorded {
    /// It is written; these are the events to publish.
    Done(Vec<StreamEvent>),
    /// The claim is not held any more, and nothing was written.
    ClaimLost,
}

/// The command is now with a connector.
pub(super) async fn started(
    environment: &Environment,
    claim: &Claim,
) -> Result<Recorded, StorageError> {
    let Some(mut transaction) = begin(environment, claim).await? else {
        return Ok(Recorded::ClaimLost);
    };
    let now = environment.clock.now();
    let Some(command) = commands::start(&mut transaction, claim.command_id, now).await? else {
        // It has ended, and what has ended is not sent.
        transaction.rollback().await?;
        return Ok(Recorded::ClaimLost);
    };
    transaction.commit().await?;
    Ok(Recorded::Done(
        StreamEvent::of_state(&command).into_iter().collect(),
    ))
}

/// A chunk came; a final one completes the command.
pub(super) async fn chunk(
    environment: &Environment,
    claim: &Claim,
    response_id: ResponseId,
    sequence_number: i32,
    chunk: &ResponseChunk,
) -> Result<Recorded, StorageError> {
    let Some(mut transaction) = begin(environment, claim).await? else {
        return Ok(Recorded::ClaimLost);
    };
    let response = Response {
        response_id,
        command_id: claim.command_id,
        response_payload: chunk.payload.clone(),
        sequence_number,
        is_final: chunk.is_final,
        received_at: environment.clock.now(),
    };
    responses::insert(&mut transaction, &response).await?;
    let mut events = vec![StreamEvent::from(response)];
    if chunk.is_final {
        let now = environment.clock.now();
        let command = commands::complete(&mut transaction, claim.command_id, now).await?;
        events.extend(end(environment, &mut transaction, claim, command).await?);
    }
    transaction.commit().await?;
    Ok(Recorded::Done(events))
}

/// The command failed.
pub(super) async fn failed(
    environment: &Environment,
    claim: &Claim,
    failure: &Failure,
) -> Result<Recorded, StorageError> {
    let Some(mut transaction) = begin(environment, claim).await? else {
        return Ok(Recorded::ClaimLost);
    };
    let now = environment.clock.now();
    let command = commands::fail(
        &mut transaction,
        claim.command_id,
        failure.kind,
        &failure.message,
        now,
    )
    .await?;
    let event = end(environment, &mut transaction, claim, command).await?;
    transaction.commit().await?;
    Ok(Recorded::Done(event.into_iter().collect()))
}

/// Writes the audit line for the end of a command; gives the event that tells it.
pub(super) async fn ended(
    environment: &Environment,
    transaction: &mut Transaction,
    command: &Command,
) -> Result<Option<StreamEvent>, StorageError> {
    let action = match command.failure_kind {
        None => "command.complete",
        Some(_) => "command.fail",
    };
    let entry = AuditEntry {
        entity_id: Some(command.command_id.0),
        user_id: Some(command.user_id),
        vehicle_id: Some(command.vehicle_id),
        command_id: Some(command.command_id),
        details: json!({
            "command_name": command.command_name,
            "status": command.status,
            "failure_kind": command.failure_kind,
        }),
        ..AuditEntry::new(action, "command")
    };
    audit::insert(transaction, &entry, environment.clock.now()).await?;
    Ok(StreamEvent::of_state(command))
}

async fn begin(
    environment: &Environment,
    claim: &Claim,
) -> Result<Option<Transaction>, StorageError> {
    let mut transaction = environment.database.begin().await?;
    if queue::hold(&mut transaction, claim).await? {
        return Ok(Some(transaction));
    }
    transaction.rollback().await?;
    Ok(None)
}

/// Takes the command out of the queue and writes its audit line.
async fn end(
    environment: &Environment,
    transaction: &mut Transaction,
    claim: &Claim,
    command: Option<Command>,
) -> Result<Option<StreamEvent>, StorageError> {
    queue::remove(transaction, claim).await?;
    match command {
        Some(command) => ended(environment, transaction, &command).await,
        None => Ok(None),
    }
}
