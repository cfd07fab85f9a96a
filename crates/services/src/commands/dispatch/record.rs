//! What a claim's holder writes down. Each function is one transaction that first makes sure the
//! claim is still held, so that a process that was thought dead can't write into what another
//! one is doing now. Doing one of them twice, because the answer to its commit was lost, does
//! no more than doing it once.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sovd_domain::{Command, Finding, Response, ResponseId, StreamEvent};
use sovd_storage::{
    StorageError, Transaction,
    commands::{
        self,
        queue::{self, Claim},
        responses,
    },
};

use crate::{
    commands::completion::{self, Failure},
    environment::Environment,
};

/// What came of writing.
#[derive(Debug, PartialEq)]
pub(super) enum Recorded {
    /// It is written, and this is to be published.
    Done(Vec<Told>),
    /// The claim is not held any more, and nothing was written.
    ClaimLost,
    /// It is too late to send it, and nothing was written.
    Expired,
}

/// What there is to tell.
#[derive(Debug, PartialEq)]
pub(super) enum Told {
    /// A part of the answer.
    Part(StreamEvent),
    /// How far the command has come.
    State(Command),
}

/// A part of the answer.
#[derive(Debug, Clone)]
pub(super) struct Part {
    pub(super) response_id: ResponseId,
    pub(super) number: i32,
    pub(super) payload: Value,
    pub(super) place: Place,
}

/// Where a part stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// More follows.
    Middle,
    /// The vehicle has answered in full, and the report of what is left follows.
    EndOfAnswer,
    /// Nothing follows. The answer begins with this number; what is before came from tries that broke
    /// off.
    End {
        /// The number.
        begins_with: i32,
    },
}

/// The command is now with a connector, though not itself sent yet.
pub(super) async fn started(
    environment: &Environment,
    claim: &Claim,
) -> Result<Recorded, StorageError> {
    let Some(mut transaction) = begin(environment, claim).await? else {
        return Ok(Recorded::ClaimLost);
    };
    let told = start(environment, &mut transaction, claim).await?;
    transaction.commit().await?;
    Ok(Recorded::Done(told))
}

/// The command is about to be sent for the `sends`-th time.
pub(super) async fn sending(
    environment: &Environment,
    claim: &Claim,
    sends: i32,
) -> Result<Recorded, StorageError> {
    let Some(mut transaction) = begin(environment, claim).await? else {
        return Ok(Recorded::ClaimLost);
    };
    // Waiting for the database may have taken the time that was left.
    if environment.clock.now() >= claim.entry.expires_at {
        transaction.rollback().await?;
        return Ok(Recorded::Expired);
    }
    let told = start(environment, &mut transaction, claim).await?;
    queue::mark_sent(&mut transaction, claim.command_id, sends).await?;
    transaction.commit().await?;
    Ok(Recorded::Done(told))
}

/// A probe is about to be sent for the `sends`-th time.
pub(super) async fn probing(
    environment: &Environment,
    claim: &Claim,
    sends: i32,
) -> Result<Recorded, StorageError> {
    let Some(mut transaction) = begin(environment, claim).await? else {
        return Ok(Recorded::ClaimLost);
    };
    queue::mark_sent(&mut transaction, claim.command_id, sends).await?;
    transaction.commit().await?;
    Ok(Recorded::Done(Vec::new()))
}

/// A part of the answer came; the last one completes the command.
pub(super) async fn part(
    environment: &Environment,
    claim: &Claim,
    part: Part,
) -> Result<Recorded, StorageError> {
    let Some(mut transaction) = begin(environment, claim).await? else {
        return Ok(Recorded::ClaimLost);
    };
    let response = Response {
        response_id: part.response_id,
        command_id: claim.command_id,
        response_payload: part.payload,
        sequence_number: part.number,
        is_final: matches!(part.place, Place::End { .. }),
        received_at: environment.clock.now(),
    };
    responses::insert(&mut transaction, &response).await?;
    let mut told = vec![Told::Part(StreamEvent::from(response))];
    match part.place {
        Place::Middle => {}
        Place::EndOfAnswer => queue::mark_answered(&mut transaction, claim.command_id).await?,
        Place::End { begins_with } => {
            let command_id = claim.command_id;
            let completing =
                completion::complete(environment, &mut transaction, command_id, begins_with);
            let command = completing.await?;
            told.extend(command.map(Told::State));
        }
    }
    transaction.commit().await?;
    Ok(Recorded::Done(told))
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
    let command = completion::fail(
        environment,
        &mut transaction,
        claim.command_id,
        failure,
        None,
    )
    .await?;
    transaction.commit().await?;
    Ok(Recorded::Done(
        command.map(Told::State).into_iter().collect(),
    ))
}

/// The task was tried in vain, and has reached the vehicle `sends` times at most.
pub(super) async fn postponed(
    environment: &Environment,
    claim: &Claim,
    due_at: DateTime<Utc>,
    sends: i32,
    error: &str,
) -> Result<Recorded, StorageError> {
    let Some(mut transaction) = begin(environment, claim).await? else {
        return Ok(Recorded::ClaimLost);
    };
    queue::postpone(&mut transaction, claim.command_id, due_at, sends, error).await?;
    transaction.commit().await?;
    Ok(Recorded::Done(Vec::new()))
}

/// The probe has found something, or cannot.
pub(super) async fn concluded(
    environment: &Environment,
    claim: &Claim,
    finding: Finding,
    grounds: &Value,
) -> Result<Recorded, StorageError> {
    let Some(mut transaction) = begin(environment, claim).await? else {
        return Ok(Recorded::ClaimLost);
    };
    completion::conclude(
        environment,
        &mut transaction,
        claim.command_id,
        finding,
        grounds,
    )
    .await?;
    transaction.commit().await?;
    Ok(Recorded::Done(Vec::new()))
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

/// Moves the command to `in_progress`; gives its state if it was not there yet.
async fn start(
    environment: &Environment,
    transaction: &mut Transaction,
    claim: &Claim,
) -> Result<Vec<Told>, StorageError> {
    let now = environment.clock.now();
    let command = commands::start(transaction, claim.command_id, now).await?;
    Ok(command.map(Told::State).into_iter().collect())
}
