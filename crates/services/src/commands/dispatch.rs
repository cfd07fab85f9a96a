//! Claims commands from the queue and sends them to vehicles.

mod attempt;
mod backoff;
mod cancellations;
mod evidence;
mod lease;
mod probe;
mod response_writer;
mod send_failure;
mod task;
mod write;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use sovd_connector::Registry;
use sovd_domain::{Catalog, Command, FailureKind, Finding, Random, RuleBook};
use sovd_storage::{
    Database, StorageError, Transaction,
    commands::queue::{self, Claimed, Expired, Task},
    notifications::{self, Notification},
};
use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore},
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    commands::{
        completion::{self, Failure},
        work_notifier::WorkNotifier,
    },
    event_publisher::EventPublisher,
    group_commit::GroupCommit,
    maintenance::detection::DetectionNotifier,
    timer::Timer,
};
use cancellations::{Leases, listen};
use lease::LeaseEnd;
use response_writer::ResponseWriter;
use task::{ClaimedTask, Stops, Subject};
use write::Publication;

pub use backoff::Backoff;

/// Maximum number of expired tasks that are ended in one transaction.
const EXPIRY_BATCH: i64 = 20;

/// What a dispatcher works with.
#[derive(Clone)]
pub struct DispatchContext {
    /// The database with the queue.
    pub database: Database,
    /// The commands that can be sent.
    pub catalog: Arc<Catalog>,
    /// The rules that make a detection job necessary.
    pub rules: Arc<RuleBook>,
    /// Publishes committed changes.
    pub event_publisher: EventPublisher,
    /// Wakes dispatchers.
    pub work_notifier: WorkNotifier,
    /// Wakes the detection of anomalies.
    pub detection_notifier: DetectionNotifier,
    /// The clock.
    pub clock: Arc<dyn Timer>,
    /// The source of randomness.
    pub random: Arc<dyn Random>,
}

/// Claims tasks from the queue and sends them through connectors. Any number of processes may run one.
#[derive(Clone)]
pub struct Dispatcher {
    context: DispatchContext,
    connectors: Arc<Registry>,
    settings: DispatchSettings,
    leases: Leases,
    /// Stores responses.
    responses: GroupCommit<ResponseWriter>,
    /// The commands that are marked as sent when they are claimed: nothing has to be read before, and a
    /// process that dies before it sends one does no harm, because it can be sent again.
    direct: Arc<[&'static str]>,
    /// Whether the last claim took as many tasks as could be started, so that more may be due.
    is_saturated: Arc<AtomicBool>,
    /// Wakes the expiry of tasks.
    due: Arc<Notify>,
}

/// Settings of a dispatcher.
#[derive(Debug, Clone, Copy)]
pub struct DispatchSettings {
    /// Maximum number of tasks in progress at the same time.
    pub concurrency: usize,
    /// Lifetime of a claim unless it is renewed, which is how long the commands of a process that died wait.
    pub lease: Duration,
    /// Interval of claims while a task is due.
    pub sweep: Duration,
    /// Longest interval between two checks for due tasks, which is how long a task waits if its
    /// notification is lost.
    pub idle_sweep: Duration,
    /// Delays between attempts.
    pub backoff: Backoff,
}

impl DispatchContext {
    /// Publishes what has been committed.
    fn publish(&self, publications: Vec<Publication>) {
        for publication in publications {
            match publication {
                Publication::Response(event) => self.event_publisher.publish(event),
                Publication::State(command) => self.event_publisher.publish_state(&command),
                Publication::DetectionJob => self.detection_notifier.notify(),
            }
        }
    }
}

impl Dispatcher {
    /// Creates a dispatcher that sends through `connectors`.
    pub fn new(
        context: DispatchContext,
        connectors: Arc<Registry>,
        settings: DispatchSettings,
    ) -> Self {
        let responses = ResponseWriter {
            context: context.clone(),
        };
        let specs = context.catalog.iter();
        let direct = specs.filter(|spec| spec.evidence.is_none() && spec.idempotent);
        Self {
            direct: direct.map(|spec| spec.name).collect(),
            // Each attempt stores one response at a time.
            responses: GroupCommit::start(responses, settings.concurrency.max(1)),
            is_saturated: Arc::default(),
            context,
            connectors,
            settings,
            leases: Leases::default(),
            due: Arc::default(),
        }
    }

    /// Runs until `stop`, then claims nothing new, and returns once every attempt has ended or was abandoned
    /// by `give_up`. Another process can claim an abandoned command at once.
    pub async fn run(self, stop: CancellationToken, give_up: CancellationToken) {
        let executions = TaskTracker::new();
        let listening = listen(
            self.context.database.clone(),
            self.context.work_notifier.clone(),
            self.leases.clone(),
        );
        let claiming = self.context.work_notifier.claims_here();
        let finishing = async {
            self.claim_until(&stop, &give_up, &executions).await;
            drop(claiming);
            self.context.work_notifier.notify_remote();
            executions.close();
            executions.wait().await;
            self.announce_released().await;
        };
        tokio::select! {
            () = listening => {}
            () = self.expire_forever() => {}
            () = finishing => {}
        }
    }

    /// Notifies other processes of the tasks released at shutdown.
    async fn announce_released(&self) {
        let announcing = async {
            let mut connection = self.context.database.connection().await?;
            notifications::send(&mut connection, Notification::Work).await
        };
        if let Err(error) = self.in_time(announcing).await {
            tracing::debug!(%error, "failed to announce released work; other processes poll for it");
        }
    }

    async fn claim_until(
        &self,
        stop: &CancellationToken,
        give_up: &CancellationToken,
        executions: &TaskTracker,
    ) {
        let clock = &self.context.clock;
        let permits = Arc::new(Semaphore::new(self.settings.concurrency));
        let mut next_sweep = clock.now() + self.settings.sweep;
        while !stop.is_cancelled() {
            let lease_end = clock.now() + self.lease();
            let free = permits.available_permits();
            let is_unannounced = self.context.work_notifier.take_unannounced();
            let claims = self.claim(free).await;
            if claims.len() == free {
                self.is_saturated.store(true, Ordering::Relaxed);
                if is_unannounced {
                    self.context.work_notifier.notify_remote();
                }
            }
            if stop.is_cancelled() {
                return self.release_all(&claims).await;
            }
            for Claimed {
                claim,
                command,
                vehicle,
                last_number,
                is_marked_sent,
                is_started,
            } in claims
            {
                // There are as many permits as claims: only this loop takes any.
                let Ok(permit) = Arc::clone(&permits).try_acquire_owned() else {
                    break;
                };
                if is_started {
                    self.context.event_publisher.publish_state(&command);
                }
                let task = ClaimedTask {
                    dispatcher: self.clone(),
                    claim,
                    subject: Subject {
                        command,
                        vehicle,
                        last_number,
                    },
                    is_marked_sent,
                    has_next_task: AtomicBool::new(true),
                    lease_end: LeaseEnd::at(lease_end),
                    stops: Stops {
                        give_up: give_up.clone(),
                        cancelled: self.leases.add(claim.lease_id),
                    },
                };
                executions.spawn(self.clone().attempt(task, permit, stop.clone()));
            }
            next_sweep = self.wait_for_work(next_sweep, stop).await;
        }
    }

    /// Waits until a task may be due, or `stop`; returns the moment of the next check.
    ///
    /// While no task is due, the only query is when the next one will be.
    async fn wait_for_work(
        &self,
        mut next_sweep: DateTime<Utc>,
        stop: &CancellationToken,
    ) -> DateTime<Utc> {
        let clock = &self.context.clock;
        loop {
            // A clock that was set back must not delay the check.
            next_sweep = next_sweep.min(clock.now() + self.settings.idle_sweep);
            tokio::select! {
                biased;
                () = stop.cancelled() => return next_sweep,
                () = clock.sleep_until(next_sweep) => {
                    let now = clock.now();
                    let soonest = now + self.settings.sweep;
                    let moment = self.next_moment(now).await;
                    if moment.is_some_and(|moment| moment <= now) {
                        self.due.notify_one();
                        return soonest;
                    }
                    let latest = now + self.settings.idle_sweep;
                    next_sweep = moment.map_or(latest, |it| it.max(soonest).min(latest));
                }
                // Another process may claim the task, and the end of its lease must be known.
                () = self.context.work_notifier.notified() => {
                    return next_sweep.min(clock.now() + self.settings.sweep);
                }
            }
        }
    }

    /// Returns when the next task is due, `now` if that cannot be determined.
    async fn next_moment(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let asking = async {
            let mut connection = self.context.database.connection().await?;
            queue::next_moment(&mut connection, now).await
        };
        self.in_time(asking).await.unwrap_or(Some(now))
    }

    /// Runs one attempt, then claims again: now, because the vehicle is free, and when the next attempt is
    /// due.
    async fn attempt(
        self,
        task: ClaimedTask,
        permit: OwnedSemaphorePermit,
        stop: CancellationToken,
    ) {
        let lease_id = task.claim.lease_id;
        let next_attempt = task.run().await;
        drop(permit);
        self.leases.remove(lease_id);
        let context = self.context;
        let was_saturated = self.is_saturated.swap(false, Ordering::Relaxed);
        if was_saturated || task.has_next_task.load(Ordering::Relaxed) {
            context.work_notifier.notify_local();
        }
        let Some(moment) = next_attempt else {
            return;
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = context.clock.sleep_until(moment) => context.work_notifier.notify_local(),
        }
    }

    async fn claim(&self, free: usize) -> Vec<Claimed> {
        if free == 0 {
            return Vec::new();
        }
        let now = self.context.clock.now();
        let limit = i64::try_from(free).unwrap_or(i64::MAX);
        let claimed = async {
            let mut connection = self.context.database.connection().await?;
            queue::claim(
                &mut connection,
                &self.direct,
                now,
                now + self.lease(),
                limit,
            )
            .await
        };
        self.in_time(claimed).await.unwrap_or_else(|error| {
            tracing::warn!(%error, "failed to claim commands; retrying");
            Vec::new()
        })
    }

    /// Releases claims whose attempts have not begun.
    async fn release_all(&self, claims: &[Claimed]) {
        let release = async {
            let mut connection = self.context.database.connection().await?;
            for claimed in claims {
                queue::release_unsent(&mut connection, claimed).await?;
            }
            Ok(())
        };
        if let Err(error) = self.in_time(release).await {
            tracing::warn!(%error, "failed to release claims; their leases will expire");
        }
    }

    /// Ends expired tasks. Runs beside the claims, so that a locked command does not delay the others.
    async fn expire_forever(&self) {
        loop {
            self.expire().await;
            self.due.notified().await;
        }
    }

    async fn expire(&self) {
        if let Err(error) = self.in_time(self.release_abandoned()).await {
            tracing::warn!(%error, "failed to release vehicles of cancelled commands; retrying");
        }
        loop {
            match self.in_time(self.end_expired()).await {
                Ok(ended) => {
                    let is_last = ended.len() < usize::try_from(EXPIRY_BATCH).unwrap_or(usize::MAX);
                    if !ended.is_empty() {
                        self.context.work_notifier.notify_local();
                    }
                    for command in ended.into_iter().flatten() {
                        self.context.event_publisher.publish_state(&command);
                    }
                    if is_last {
                        return;
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "failed to expire commands; retrying");
                    return;
                }
            }
        }
    }

    /// Releases the vehicles of cancelled commands whose holders died.
    async fn release_abandoned(&self) -> Result<(), StorageError> {
        let now = self.context.clock.now();
        let mut connection = self.context.database.connection().await?;
        if queue::remove_abandoned(&mut connection, now, EXPIRY_BATCH).await? > 0 {
            self.context.work_notifier.notify_local();
        }
        Ok(())
    }

    /// Fails with `Unavailable` if the database does not respond for as long as a lease.
    async fn in_time<T>(
        &self,
        work: impl Future<Output = Result<T, StorageError>>,
    ) -> Result<T, StorageError> {
        timeout(self.settings.lease, work)
            .await
            .unwrap_or_else(|_| Err(StorageError::Unavailable("it does not respond".to_owned())))
    }

    /// Ends one batch of expired tasks; returns the command of each, if it ended with it.
    async fn end_expired(&self) -> Result<Vec<Option<Command>>, StorageError> {
        let context = &self.context;
        let end = async |transaction: &mut Transaction| {
            let now = context.clock.now();
            let mut ended = Vec::new();
            for expired in queue::expired(transaction, now, EXPIRY_BATCH).await? {
                let command_id = expired.command_id;
                let command = match expired.task {
                    Task::Command => {
                        let failure = Failure::new(FailureKind::Expired, reason(&expired));
                        let catalog = &context.catalog;
                        completion::fail(catalog, transaction, command_id, &failure, None, now)
                            .await?
                    }
                    Task::Probe => {
                        let grounds = json!({ "reason": reason(&expired) });
                        let finding = Finding::CannotTell;
                        completion::record_finding(transaction, command_id, finding, &grounds, now)
                            .await?;
                        None
                    }
                };
                ended.push(command);
            }
            Ok(ended)
        };
        context.database.transaction(end).await
    }

    fn lease(&self) -> TimeDelta {
        TimeDelta::from_std(self.settings.lease).unwrap_or(TimeDelta::MAX)
    }
}

fn reason(expired: &Expired) -> String {
    let what = "it could not be sent before it expired";
    match &expired.last_error {
        Some(error) => format!("{what}; the last attempt: {error}"),
        None => what.to_owned(),
    }
}
