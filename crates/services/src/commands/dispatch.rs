//! Carrying commands out.

mod attempt;
mod backoff;
mod cancellations;
mod evidence;
mod lease;
mod probe;
mod send_failure;
mod task;
mod write;

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use sovd_connector::Registry;
use sovd_domain::{Catalog, Command, FailureKind, Finding, Random};
use sovd_storage::{
    Database, StorageError, Transaction,
    commands::queue::{self, Claim, Expired, Task},
    signals::{self, Signal},
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
    maintenance::detection::DetectionNotifier,
    timer::Timer,
};
use cancellations::{Leases, listen};
use lease::LeaseEnd;
use task::{ClaimedTask, Stops};

pub use backoff::Backoff;

/// How many tasks are ended in one transaction when they have expired.
const EXPIRY_BATCH: i64 = 20;

/// What a dispatcher works with.
#[derive(Clone)]
pub struct DispatchContext {
    /// The database with the queue.
    pub database: Database,
    /// The commands that can be sent.
    pub catalog: Arc<Catalog>,
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
    /// Something in the queue is due, and may have to be ended.
    due: Arc<Notify>,
}

/// How a dispatcher works.
#[derive(Debug, Clone, Copy)]
pub struct DispatchSettings {
    /// How many tasks it carries out at the same time.
    pub concurrency: usize,
    /// How long a claim is good for unless it is renewed. When a process dies, its commands wait
    /// that long.
    pub lease: Duration,
    /// How often it looks for work while something in the queue is due.
    pub sweep: Duration,
    /// How often it asks whether something is due, at least. Work whose notification is lost waits
    /// that long.
    pub idle_sweep: Duration,
    /// How long it waits before it tries again what was in vain.
    pub backoff: Backoff,
}

impl Dispatcher {
    /// A dispatcher that reaches vehicles through `connectors`.
    pub fn new(
        context: DispatchContext,
        connectors: Arc<Registry>,
        settings: DispatchSettings,
    ) -> Self {
        Self {
            context,
            connectors,
            settings,
            leases: Leases::default(),
            due: Arc::default(),
        }
    }

    /// Works until `stop`; then takes nothing new, and returns once what is under way has ended
    /// or was abandoned by `give_up`. An abandoned command is free at once for another process.
    pub async fn run(self, stop: CancellationToken, give_up: CancellationToken) {
        let executions = TaskTracker::new();
        let hearing = listen(
            self.context.database.clone(),
            self.context.work_notifier.clone(),
            self.leases.clone(),
        );
        let finishing = async {
            self.claim_until(&stop, &give_up, &executions).await;
            executions.close();
            executions.wait().await;
            self.announce_released().await;
        };
        tokio::select! {
            () = hearing => {}
            () = self.expire_for_ever() => {}
            () = finishing => {}
        }
    }

    /// Notifies other processes of what this one has released while it stopped.
    async fn announce_released(&self) {
        let announcing = async {
            let mut connection = self.context.database.connection().await?;
            signals::send(&mut connection, Signal::Work).await
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
            let claims = self.claim(permits.available_permits()).await;
            if stop.is_cancelled() {
                // It was asked to stop while it looked.
                return self.give_back(&claims).await;
            }
            for claim in claims {
                // There are as many permits as claims: only this loop takes any.
                let Ok(permit) = Arc::clone(&permits).try_acquire_owned() else {
                    break;
                };
                let task = ClaimedTask {
                    dispatcher: self.clone(),
                    claim,
                    lease_end: LeaseEnd::at(lease_end),
                    stops: Stops {
                        give_up: give_up.clone(),
                        cancelled: self.leases.add(claim.lease_id),
                    },
                };
                executions.spawn(self.clone().see_through(task, permit, stop.clone()));
            }
            next_sweep = self.wait_for_work(next_sweep, stop).await;
        }
    }

    /// Waits until there may be something to claim, or `stop`; returns when to ask the queue next.
    ///
    /// While nothing is due, the only question to the database is when something will be.
    async fn wait_for_work(
        &self,
        mut next_sweep: DateTime<Utc>,
        stop: &CancellationToken,
    ) -> DateTime<Utc> {
        let clock = &self.context.clock;
        loop {
            // A clock that was put back must not put the sweep off.
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
                // What was announced may be claimed by another process, whose lease has to be known.
                () = self.context.work_notifier.notified() => {
                    return next_sweep.min(clock.now() + self.settings.sweep);
                }
            }
        }
    }

    /// When something in the queue is due; `now` when that cannot be found out.
    async fn next_moment(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let asking = async {
            let mut connection = self.context.database.connection().await?;
            queue::next_moment(&mut connection, now).await
        };
        self.in_time(asking).await.unwrap_or(Some(now))
    }

    /// Carries one task out, and looks for more when its vehicle is free, or when it is to be tried
    /// again.
    async fn see_through(
        self,
        task: ClaimedTask,
        permit: OwnedSemaphorePermit,
        stop: CancellationToken,
    ) {
        let lease_id = task.claim.lease_id;
        let again = task.run().await;
        drop(permit);
        self.leases.remove(lease_id);
        let context = self.context;
        context.work_notifier.notify_local();
        let Some(moment) = again else {
            return;
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = context.clock.sleep_until(moment) => context.work_notifier.notify_local(),
        }
    }

    async fn claim(&self, free: usize) -> Vec<Claim> {
        if free == 0 {
            return Vec::new();
        }
        let now = self.context.clock.now();
        let limit = i64::try_from(free).unwrap_or(i64::MAX);
        let claimed = async {
            let mut connection = self.context.database.connection().await?;
            queue::claim(&mut connection, now, now + self.lease(), limit).await
        };
        self.in_time(claimed).await.unwrap_or_else(|error| {
            tracing::warn!(%error, "cannot look for work, trying again");
            Vec::new()
        })
    }

    /// Leaves claims that were not begun to other processes.
    async fn give_back(&self, claims: &[Claim]) {
        let given_back = async {
            let mut connection = self.context.database.connection().await?;
            for claim in claims {
                queue::release(&mut connection, claim).await?;
            }
            Ok(())
        };
        if let Err(error) = self.in_time(given_back).await {
            tracing::warn!(%error, "cannot give claims back, their leases will end");
        }
    }

    /// Ends what waited too long, beside the claiming: a lock that somebody holds on one such
    /// command must not keep all others waiting.
    async fn expire_for_ever(&self) {
        loop {
            self.expire().await;
            self.due.notified().await;
        }
    }

    async fn expire(&self) {
        if let Err(error) = self.in_time(self.remove_forsaken()).await {
            tracing::warn!(%error, "cannot free vehicles, trying again");
        }
        loop {
            match self.in_time(self.end_expired()).await {
                Ok(ended) => {
                    let is_last = ended.len() < usize::try_from(EXPIRY_BATCH).unwrap_or(usize::MAX);
                    if !ended.is_empty() {
                        // Those behind them may be sent now.
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
                    tracing::warn!(%error, "cannot expire commands, trying again");
                    return;
                }
            }
        }
    }

    /// Frees the vehicles of commands that were called off and whose holders died.
    async fn remove_forsaken(&self) -> Result<(), StorageError> {
        let now = self.context.clock.now();
        let mut connection = self.context.database.connection().await?;
        if queue::remove_forsaken(&mut connection, now, EXPIRY_BATCH).await? > 0 {
            self.context.work_notifier.notify_local();
        }
        Ok(())
    }

    /// A database that hangs is as good as one that is away.
    async fn in_time<T>(
        &self,
        work: impl Future<Output = Result<T, StorageError>>,
    ) -> Result<T, StorageError> {
        timeout(self.settings.lease, work)
            .await
            .unwrap_or_else(|_| Err(StorageError::Unavailable("it does not answer".to_owned())))
    }

    /// Ends one batch of what waited too long; gives each command that ended with it.
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
        Some(error) => format!("{what}; the last try: {error}"),
        None => what.to_owned(),
    }
}
