//! Reading a vehicle's faults after a command whose outcome is unknown.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use sovd_domain::{Evidence, Finding, commands::findings::fault_codes};
use sovd_storage::text;

use super::{
    send_failure::{MAX_SENDS, Resolution},
    task::{Abandoned, ClaimedTask, Disposition, Subject},
};

/// Reads the faults again and records what became of those that the command was to erase.
pub(super) async fn run(task: &ClaimedTask) -> Result<Disposition, Abandoned> {
    let subject = &task.subject;
    let dispatcher = &task.dispatcher;
    let entry = &task.claim.entry;
    let spec = dispatcher
        .context
        .catalog
        .get(&subject.command.command_name);
    let Some(evidence) = spec.and_then(|spec| spec.evidence) else {
        return cannot_tell(task, "the catalog does not say how to read the faults").await;
    };
    if entry.send_count >= MAX_SENDS || task.now() >= entry.expires_at {
        return cannot_tell(task, "the vehicle did not answer").await;
    }
    let connector = match dispatcher.connectors.connector_for(&subject.vehicle) {
        Ok(connector) => connector,
        Err(error) => return cannot_tell(task, &error.to_string()).await,
    };
    let send_count = entry.send_count + 1;
    task.mark_probed(send_count).await?;
    match task.read_faults(connector, &evidence, subject).await {
        Ok(chunks) => compare(task, &evidence, subject, chunks).await,
        Err(failure) => match failure.resolution(true, send_count) {
            Resolution::Fail(_) => cannot_tell(task, &failure.to_string()).await,
            Resolution::Retry => task.postpone(&failure).await,
        },
    }
}

async fn compare(
    task: &ClaimedTask,
    evidence: &Evidence,
    subject: &Subject,
    chunks: Vec<Value>,
) -> Result<Disposition, Abandoned> {
    let before = task.stored_evidence().await?;
    let before = before.and_then(|chunks| fault_codes(&chunks));
    let after = fault_codes(&chunks);
    let fault = evidence.fault(&subject.command.command_params);
    let finding = Finding::of(fault, before.as_ref(), after.as_ref());
    let grounds = json!({ "faults": after.map(storable) });
    task.record_finding(finding, grounds).await
}

/// Removes what cannot be stored.
fn storable(codes: BTreeSet<String>) -> Vec<String> {
    let codes = codes.into_iter();
    codes.map(|code| text::storable(&code)).collect()
}

async fn cannot_tell(task: &ClaimedTask, reason: &str) -> Result<Disposition, Abandoned> {
    let grounds = json!({ "reason": text::storable(reason) });
    task.record_finding(Finding::CannotTell, grounds).await
}
