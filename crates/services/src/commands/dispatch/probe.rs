//! Looking at a vehicle after a command of which nobody knows whether it ran.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use sovd_domain::{Evidence, Finding, commands::findings::fault_codes};

use super::{
    execution::{Abandoned, Execution, Left, Subject},
    outcome::{MAX_SENDS, Setback, Verdict},
    record,
};

/// Reads the faults again, and says what became of those that were to be cleared.
pub(super) async fn run(execution: &Execution, subject: Subject) -> Result<Left, Abandoned> {
    let dispatcher = &execution.dispatcher;
    let entry = &execution.claim.entry;
    let spec = dispatcher
        .environment
        .catalog
        .get(&subject.command.command_name);
    let Some(evidence) = spec.and_then(|spec| spec.evidence) else {
        return cannot_tell(execution, "the catalogue does not say how to look").await;
    };
    if entry.sends >= MAX_SENDS || execution.now() >= entry.expires_at {
        return cannot_tell(execution, "the vehicle did not answer").await;
    }
    let connector = match dispatcher.connectors.connector_for(&subject.vehicle) {
        Ok(connector) => connector,
        Err(error) => return cannot_tell(execution, &error.to_string()).await,
    };
    let sends = entry.sends + 1;
    let (environment, claim) = (&dispatcher.environment, &execution.claim);
    let recorded = execution
        .persist(|| record::probing(environment, claim, sends))
        .await?;
    execution.tell(recorded)?;
    match execution.read_faults(connector, &evidence, &subject).await {
        Ok(chunks) => compare(execution, &evidence, &subject, chunks).await,
        Err(setback) => settle(execution, &setback, sends).await,
    }
}

async fn compare(
    execution: &Execution,
    evidence: &Evidence,
    subject: &Subject,
    chunks: Vec<Value>,
) -> Result<Left, Abandoned> {
    let before = execution.secured_faults().await?;
    let before = before.and_then(|chunks| fault_codes(&chunks));
    let after = fault_codes(&chunks);
    let fault = evidence.fault(&subject.command.command_params);
    let finding = Finding::of(fault, before.as_ref(), after.as_ref());
    conclude(
        execution,
        finding,
        &json!({ "faults": after.map(storable) }),
    )
    .await
}

/// The codes without what PostgreSQL cannot keep.
fn storable(codes: BTreeSet<String>) -> Vec<String> {
    let codes = codes.into_iter();
    codes.map(|code| code.replace('\0', "")).collect()
}

async fn settle(execution: &Execution, setback: &Setback, sends: i32) -> Result<Left, Abandoned> {
    match setback.verdict(true, sends) {
        Verdict::End(_) => cannot_tell(execution, &setback.to_string()).await,
        Verdict::TryAgain if setback.is_unsent() => execution.postpone(setback, sends - 1).await,
        Verdict::TryAgain => execution.postpone(setback, sends).await,
    }
}

async fn cannot_tell(execution: &Execution, reason: &str) -> Result<Left, Abandoned> {
    let grounds = json!({ "reason": reason.replace('\0', "") });
    conclude(execution, Finding::CannotTell, &grounds).await
}

async fn conclude(
    execution: &Execution,
    finding: Finding,
    grounds: &Value,
) -> Result<Left, Abandoned> {
    let environment = &execution.dispatcher.environment;
    let claim = &execution.claim;
    let recorded = execution
        .persist(|| record::concluded(environment, claim, finding, grounds))
        .await?;
    execution.tell(recorded)?;
    Ok(Left::Done)
}
