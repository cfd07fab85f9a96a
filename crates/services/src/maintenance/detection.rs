//! Finding anomalies in what vehicles say of their faults.
//!
//! A command that completes leaves a note that its answer is to be looked through, in the transaction
//! that completes it. The look is another transaction: nothing that it waits for, or fails at, keeps a
//! vehicle's answer from being stored.

mod faults;

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use sovd_domain::{AnomalyId, AuditEntry, AuditResult, Random, RuleBook};
use sovd_storage::{
    Connection, Database, StorageError, Transaction, audit,
    fleet::vehicles,
    maintenance::{
        detection_jobs::{self, DetectionJob},
        detections::{self, Match, Reading},
    },
};
use tokio::{sync::Notify, time::sleep};
use tokio_util::sync::CancellationToken;

use crate::timer::Timer;
use faults::{Faults, MOST_CODES};

/// How often a process looks for answers that nobody told it of, because whoever should have may have
/// died.
const SWEEP: Duration = Duration::from_secs(5);

/// How long to wait before the database is tried again.
const PAUSE: Duration = Duration::from_millis(250);

/// How many looks at one answer may fail.
const MOST_LOOKS: i32 = 20;

/// The pause after the first look that failed; it doubles with each.
const FIRST_PAUSE: TimeDelta = TimeDelta::seconds(1);

/// The longest pause between two looks.
const LONGEST_PAUSE: TimeDelta = TimeDelta::minutes(10);

/// Tells the detection of this process that there may be an answer to look through. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct DetectionNotifier(Arc<Notify>);

impl DetectionNotifier {
    /// Tells it; never waits.
    pub(crate) fn notify(&self) {
        self.0.notify_one();
    }
}

/// Finds anomalies in the responses of completed commands. Any number of processes may run one.
pub struct DetectionWorker {
    database: Database,
    rules: Arc<RuleBook>,
    notifier: DetectionNotifier,
    clock: Arc<dyn Timer>,
    random: Arc<dyn Random>,
}

impl DetectionWorker {
    /// Creates a worker that detects by `rules`.
    pub fn new(
        database: Database,
        rules: Arc<RuleBook>,
        notifier: DetectionNotifier,
        clock: Arc<dyn Timer>,
        random: Arc<dyn Random>,
    ) -> Self {
        Self {
            database,
            rules,
            notifier,
            clock,
            random,
        }
    }

    /// Looks through complete answers for trouble codes until `stop`. Each code that a rule matches becomes
    /// an anomaly, unless one of that code waits for a workshop. Any number of processes may.
    pub async fn run(self, stop: CancellationToken) {
        let looking = async {
            loop {
                match look_through_next(&self).await {
                    Ok(true) => {}
                    Ok(false) => rest(&self).await,
                    Err(error) => {
                        tracing::warn!(%error, "cannot look for anomalies, trying again");
                        sleep(PAUSE).await;
                    }
                }
            }
        };
        stop.run_until_cancelled(looking).await;
    }
}

/// Waits for the next answer.
async fn rest(worker: &DetectionWorker) {
    let sweep = worker.clock.now() + SWEEP;
    tokio::select! {
        () = worker.notifier.0.notified() => {}
        () = worker.clock.sleep_until(sweep) => {}
    }
}

/// Looks through the answer that is due for longest; says whether there was one.
async fn look_through_next(worker: &DetectionWorker) -> Result<bool, StorageError> {
    let now = worker.clock.now();
    let next = {
        let mut connection = worker.database.connection().await?;
        detection_jobs::next(&mut connection, now).await?
    };
    let Some(answer) = next else {
        return Ok(false);
    };
    if let Err(error) = look_through(worker, answer).await {
        put_off(worker, answer, &error).await?;
    }
    Ok(true)
}

async fn look_through(worker: &DetectionWorker, answer: DetectionJob) -> Result<(), StorageError> {
    let faults = {
        let mut connection = worker.database.connection().await?;
        faults::read(&mut connection, answer).await?
    };
    let matches = matches(worker, faults);
    let write = async |transaction: &mut Transaction| {
        if !hold(transaction, answer).await? {
            return Ok(());
        }
        if let Some(matches) = matches {
            record(worker, transaction, answer, matches).await?;
        } else {
            let reason = format!("the answer has over {MOST_CODES} codes");
            give_up(worker, transaction, answer, &reason).await?;
        }
        detection_jobs::remove(transaction, answer.command_id).await?;
        Ok(())
    };
    worker.database.transaction(write).await
}

/// Locks what is about to be written about, in the order in which a deletion does; says whether the
/// answer is still to be looked through.
async fn hold(transaction: &mut Transaction, answer: DetectionJob) -> Result<bool, StorageError> {
    Ok(vehicles::keep(transaction, answer.vehicle_id).await?
        && detection_jobs::lock(transaction, answer.command_id).await?)
}

/// What the rules say of the codes of an answer; nothing when it has more than a vehicle can have.
fn matches(worker: &DetectionWorker, faults: Faults) -> Option<Vec<Match<'_>>> {
    if faults.len() > MOST_CODES {
        return None;
    }
    let matches = faults.into_iter().filter_map(|(dtc, fault)| {
        Some(Match {
            anomaly_id: AnomalyId(worker.random.uuid()),
            rule: worker.rules.first_match(&dtc)?,
            dtc,
            response_id: fault.response_id,
            read_at: fault.read_at,
            sensor_snapshot: fault.snapshot,
        })
    });
    Some(matches.collect())
}

async fn record(
    worker: &DetectionWorker,
    connection: &mut Connection,
    answer: DetectionJob,
    matches: Vec<Match<'_>>,
) -> Result<(), StorageError> {
    if matches.is_empty() {
        return Ok(());
    }
    let mut entries: Vec<AuditEntry> = matches.iter().map(|found| entry(answer, found)).collect();
    let reading = Reading {
        vehicle_id: answer.vehicle_id,
        command_id: answer.command_id,
    };
    let written = detections::insert(connection, reading, matches).await?;
    let is_written = |id| written.contains(&AnomalyId(id));
    entries.retain(|entry| entry.entity_id.is_some_and(is_written));
    audit::insert_all(connection, &entries, worker.clock.now()).await
}

/// That a code was found, for the audit trail.
fn entry(answer: DetectionJob, found: &Match<'_>) -> AuditEntry {
    let rule = found.rule;
    AuditEntry {
        entity_id: Some(found.anomaly_id.0),
        details: json!({
            "rule_name": rule.name,
            "dtc_code": found.dtc.as_str(),
            "anomaly_type": rule.anomaly_type,
            "severity": rule.severity,
            "component_name": rule.component,
        }),
        ..about(answer)
    }
}

/// Puts an answer off after a look that failed. Of one at which too many have failed, nobody looks any
/// more, and the audit trail says so.
async fn put_off(
    worker: &DetectionWorker,
    answer: DetectionJob,
    error: &StorageError,
) -> Result<(), StorageError> {
    let command_id = answer.command_id;
    tracing::error!(%command_id, %error, cause = ?error, "detection attempt failed");
    if answer.attempts + 1 < MOST_LOOKS {
        let due_at = next_look(worker.clock.now(), answer.attempts);
        let mut connection = worker.database.connection().await?;
        // Without a lock on the vehicle, which may be what the look failed at.
        return detection_jobs::postpone(&mut connection, command_id, due_at).await;
    }
    let write = async |transaction: &mut Transaction| {
        if !hold(transaction, answer).await? {
            return Ok(());
        }
        give_up(worker, transaction, answer, &error.to_string()).await?;
        detection_jobs::remove(transaction, command_id).await?;
        Ok(())
    };
    worker.database.transaction(write).await
}

/// When to look again after `attempts` looks that failed before this one.
fn next_look(now: DateTime<Utc>, attempts: i32) -> DateTime<Utc> {
    let factor = 1 << attempts.clamp(0, MOST_LOOKS);
    now + (FIRST_PAUSE * factor).min(LONGEST_PAUSE)
}

/// Writes down that no anomalies are looked for in an answer.
async fn give_up(
    worker: &DetectionWorker,
    connection: &mut Connection,
    answer: DetectionJob,
    reason: &str,
) -> Result<(), StorageError> {
    let command_id = answer.command_id;
    tracing::error!(%command_id, reason, "no anomalies are looked for in an answer");
    let entry = AuditEntry {
        result: AuditResult::Failed,
        details: json!({ "reason": sovd_storage::text::storable(reason) }),
        ..about(answer)
    };
    audit::insert(connection, &entry, worker.clock.now()).await
}

fn about(answer: DetectionJob) -> AuditEntry {
    AuditEntry {
        vehicle_id: Some(answer.vehicle_id),
        command_id: Some(answer.command_id),
        ..AuditEntry::new("anomaly.detect", "anomaly")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_backoff_doubles_up_to_ten_minutes() {
        let now = DateTime::UNIX_EPOCH;
        for (attempts, seconds) in [
            (0, 1),
            (1, 2),
            (5, 32),
            (9, 512),
            (10, 600),
            (31, 600),
            (99, 600),
        ] {
            let pause = next_look(now, attempts) - now;
            assert_eq!(pause.num_seconds(), seconds, "{attempts}");
        }
    }
}
