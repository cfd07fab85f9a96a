//! Detects anomalies in the faults that vehicles report.
//!
//! The transaction that completes a command inserts a detection job for its response if a rule matches one
//! of its codes. A detection run processes the job in a separate transaction, so that a failed or blocked run never affects the
//! response.

mod faults;

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use sovd_domain::{
    AnomalyId, AuditEntry, AuditResult, CommandId, Dtc, Random, RuleBook, VehicleId,
};
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
use faults::{Faults, MAX_CODES};

pub(crate) use faults::matches_rule;

/// The interval at which a worker polls for jobs. Covers notifications that were lost in a crash.
const POLL_INTERVAL: Duration = Duration::from_secs(5);

/// The delay before a worker retries after the database failed.
const RETRY_DELAY: Duration = Duration::from_millis(250);

/// The maximum number of jobs that are read together.
const BATCH: i64 = 64;

/// The maximum number of attempts at a job.
const MAX_ATTEMPTS: i32 = 20;

/// The backoff after the first failed attempt; it doubles with each further one.
const MIN_BACKOFF: TimeDelta = TimeDelta::seconds(1);

/// The longest backoff.
const MAX_BACKOFF: TimeDelta = TimeDelta::minutes(10);

/// Notifies the worker of this process of new jobs. Clones share their state.
#[derive(Debug, Clone, Default)]
pub struct DetectionNotifier(Arc<Notify>);

impl DetectionNotifier {
    /// Notifies the worker without waiting.
    pub(crate) fn notify(&self) {
        self.0.notify_one();
    }
}

/// Processes detection jobs. Any number of processes may run one.
pub struct DetectionWorker {
    database: Database,
    rules: Arc<RuleBook>,
    notifier: DetectionNotifier,
    clock: Arc<dyn Timer>,
    random: Arc<dyn Random>,
}

impl DetectionWorker {
    /// Creates a worker that applies `rules`.
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

    /// Processes jobs until `stop`. Each code that matches a rule becomes an anomaly, unless the vehicle
    /// has an open anomaly of that code.
    pub async fn run(self, stop: CancellationToken) {
        let work = async {
            loop {
                match self.process_due().await {
                    Ok(true) => {}
                    Ok(false) => self.wait().await,
                    Err(error) => {
                        tracing::warn!(%error, "failed to process a detection job; retrying");
                        sleep(RETRY_DELAY).await;
                    }
                }
            }
        };
        stop.run_until_cancelled(work).await;
    }

    /// Waits until there may be a new job.
    async fn wait(&self) {
        let next_poll = self.clock.now() + POLL_INTERVAL;
        tokio::select! {
            () = self.notifier.0.notified() => {}
            () = self.clock.sleep_until(next_poll) => {}
        }
    }

    /// Processes the jobs that have been due for the longest time; returns whether there were any.
    async fn process_due(&self) -> Result<bool, StorageError> {
        let jobs = {
            let mut connection = self.database.connection().await?;
            let jobs = detection_jobs::due(&mut connection, self.clock.now(), BATCH).await?;
            if jobs.is_empty() {
                return Ok(false);
            }
            match self.remove_known(&mut connection, jobs.clone()).await {
                Err(StorageError::Unavailable(reason)) => {
                    return Err(StorageError::Unavailable(reason));
                }
                // One of the jobs cannot be read. Each is processed alone.
                Err(_) => jobs,
                Ok(rest) => rest,
            }
        };
        for job in jobs {
            if let Err(error) = self.detect(job).await {
                self.handle_failure(job, &error).await?;
            }
        }
        Ok(true)
    }

    /// Deletes the jobs whose matching codes all have open episodes, and returns the others. Most vehicles
    /// report the same codes again and again.
    async fn remove_known(
        &self,
        connection: &mut Connection,
        mut jobs: Vec<DetectionJob>,
    ) -> Result<Vec<DetectionJob>, StorageError> {
        let faults = faults::read_short(connection, &jobs).await?;
        let matching = |job: &DetectionJob| -> Option<Vec<(VehicleId, &Dtc)>> {
            let codes = faults.get(&job.command_id)?.keys();
            let matching = codes.filter(|dtc| self.rules.first_match(dtc).is_some());
            Some(matching.map(|dtc| (job.vehicle_id, dtc)).collect())
        };
        let codes: Vec<_> = jobs.iter().filter_map(matching).flatten().collect();
        let open = detections::with_open_episode(connection, &codes).await?;
        let is_known = |job: &DetectionJob| {
            let is_open = |(vehicle_id, dtc): &(VehicleId, &Dtc)| {
                open.contains(&(*vehicle_id, (*dtc).clone()))
            };
            matching(job).is_some_and(|codes| codes.iter().all(is_open))
        };
        let known = jobs.iter().filter(|job| is_known(job));
        let known: Vec<CommandId> = known.map(|job| job.command_id).collect();
        detection_jobs::remove_all(connection, &known).await?;
        jobs.retain(|job| !known.contains(&job.command_id));
        Ok(jobs)
    }

    async fn detect(&self, job: DetectionJob) -> Result<(), StorageError> {
        let faults = {
            let mut connection = self.database.connection().await?;
            faults::read(&mut connection, job).await?
        };
        if faults.len() > MAX_CODES {
            let reason = format!("the response has more than {MAX_CODES} codes");
            return self.abandon(job, &reason).await;
        }
        let matches = self.matches(faults);
        let finish = async |transaction: &mut Transaction| {
            self.insert_anomalies(transaction, job, matches).await
        };
        self.finish(job, finish).await
    }

    fn matches(&self, faults: Faults) -> Vec<Match<'_>> {
        let matches = faults.into_iter().filter_map(|(dtc, fault)| {
            Some(Match {
                anomaly_id: AnomalyId(self.random.uuid()),
                rule: self.rules.first_match(&dtc)?,
                dtc,
                response_id: fault.response_id,
                read_at: fault.read_at,
                sensor_snapshot: fault.snapshot,
            })
        });
        matches.collect()
    }

    async fn insert_anomalies(
        &self,
        connection: &mut Connection,
        job: DetectionJob,
        matches: Vec<Match<'_>>,
    ) -> Result<(), StorageError> {
        if matches.is_empty() {
            return Ok(());
        }
        let mut entries: Vec<AuditEntry> = matches.iter().map(|found| entry(job, found)).collect();
        let reading = Reading {
            vehicle_id: job.vehicle_id,
            command_id: job.command_id,
        };
        let inserted = detections::insert(connection, reading, matches).await?;
        let is_inserted = |id| inserted.contains(&AnomalyId(id));
        entries.retain(|entry| entry.entity_id.is_some_and(is_inserted));
        audit::insert_all(connection, &entries, self.clock.now()).await
    }

    /// Postpones a job after a failed attempt, or abandons it after the last one.
    async fn handle_failure(
        &self,
        job: DetectionJob,
        error: &StorageError,
    ) -> Result<(), StorageError> {
        let command_id = job.command_id;
        tracing::error!(%command_id, %error, cause = ?error, "detection attempt failed");
        if job.attempts + 1 >= MAX_ATTEMPTS {
            return self.abandon(job, &error.to_string()).await;
        }
        let due_at = due_after(self.clock.now(), job.attempts);
        let mut connection = self.database.connection().await?;
        // Without a lock on the vehicle, which may be the cause of the failure.
        detection_jobs::postpone(&mut connection, command_id, due_at).await
    }

    /// Deletes a job without a detection run, and audits that.
    async fn abandon(&self, job: DetectionJob, reason: &str) -> Result<(), StorageError> {
        let audit = async |transaction: &mut Transaction| {
            let command_id = job.command_id;
            tracing::error!(%command_id, reason, "detection job abandoned");
            let entry = AuditEntry {
                result: AuditResult::Failed,
                details: json!({ "reason": sovd_storage::text::storable(reason) }),
                ..detection(job)
            };
            audit::insert(transaction, &entry, self.clock.now()).await
        };
        self.finish(job, audit).await
    }

    /// Runs `write` and deletes the job in one transaction, if the job still exists.
    async fn finish(
        &self,
        job: DetectionJob,
        write: impl AsyncFnOnce(&mut Transaction) -> Result<(), StorageError>,
    ) -> Result<(), StorageError> {
        let finish = async |transaction: &mut Transaction| {
            // In the order in which a deletion locks.
            if vehicles::prevent_deletion(transaction, job.vehicle_id).await?
                && detection_jobs::lock(transaction, job.command_id).await?
            {
                write(transaction).await?;
                detection_jobs::remove(transaction, job.command_id).await?;
            }
            Ok(())
        };
        self.database.transaction(finish).await
    }
}

/// Returns when a job is due again after `attempts` failed attempts and one more.
fn due_after(now: DateTime<Utc>, attempts: i32) -> DateTime<Utc> {
    let factor = 1 << attempts.clamp(0, MAX_ATTEMPTS);
    now + (MIN_BACKOFF * factor).min(MAX_BACKOFF)
}

fn entry(job: DetectionJob, found: &Match<'_>) -> AuditEntry {
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
        ..detection(job)
    }
}

fn detection(job: DetectionJob) -> AuditEntry {
    AuditEntry {
        vehicle_id: Some(job.vehicle_id),
        command_id: Some(job.command_id),
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
            let backoff = due_after(now, attempts) - now;
            assert_eq!(backoff.num_seconds(), seconds, "{attempts}");
        }
    }
}
