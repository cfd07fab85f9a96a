//! Carrying commands out.

mod execution;
mod outbox;
mod record;

use std::{sync::Arc, time::Duration};

use chrono::TimeDelta;
use sovd_connector::Registry;
use sovd_domain::{FailureKind, StreamEvent};
use sovd_storage::{StorageError, commands, queue, queue::Claim};
use tokio::{
    sync::{Notify, Semaphore},
    time::{Instant, MissedTickBehavior, interval, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::environment::Environment;
use execution::Execution;
use outbox::Outbox;

/// Claims commands from the queue and hands them to connectors. Any number of processes may.
#[derive(Clone)]
pub struct Dispatcher {
    environment: Environment,
    connectors: Arc<Registry>,
    settings: DispatchSettings,
    new_work: Arc<Notify>,
    outbox: Outbox,
}

/// How a dispatcher works.
#[derive(Debug, Clone, Copy)]
pub struct DispatchSettings {
    /// How many commands it carries out at the same time.
    pub concurrency: usize,
    /// How long a claim is good for unless it is renewed. When a process dies, its commands wait
    /// that long.
    pub lease: Duration,
    /// How often it looks for work that nobody told it of.
    pub sweep: Duration,
}

impl Dispatcher {
    /// A dispatcher that looks for work when `new_work` tells it to. It publishes from a task of
    /// the runtime that calls this.
    pub fn new(
        environment: Environment,
        connectors: Arc<Registry>,
        settings: DispatchSettings,
        new_work: Arc<Notify>,
    ) -> Self {
        Self {
            outbox: Outbox::new(Arc::clone(&environment.bus)),
            environment,
            connectors,
            settings,
            new_work,
        }
    }

    /// Works until `stop`; then takes nothing new, and returns once what is under way has ended
    /// or was abandoned by `give_up`. An abandoned command is free at once for another process.
    pub async fn run(self, stop: CancellationToken, give_up: CancellationToken) {
        let places = Arc::new(Semaphore::new(self.settings.concurrency));
        let executions = TaskTracker::new();
        let mut sweeps = interval(self.settings.sweep);
        sweeps.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !stop.is_cancelled() {
            let asked_at = Instant::now();
            for claim in self.claim(places.available_permits()).await {
                // There are as many places as claims: only this loop takes any.
                let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
                    break;
                };
                let lease_end = asked_at + self.settings.lease;
                let execution = Execution::new(self.clone(), claim, lease_end, give_up.clone());
                let vehicle_is_free = Arc::clone(&self.new_work);
                executions.spawn(async move {
                    execution.run().await;
                    drop(place);
                    vehicle_is_free.notify_one();
                });
            }
            tokio::select! {
                biased;
                () = stop.cancelled() => {}
                _ = sweeps.tick() => self.expire().await,
                () = self.new_work.notified() => {}
            }
        }
        executions.close();
        executions.wait().await;
        self.outbox.flush().await;
    }

    async fn claim(&self, free: usize) -> Vec<Claim> {
        if free == 0 {
            return Vec::new();
        }
        let now = self.environment.clock.now();
        let limit = i64::try_from(free).unwrap_or(i64::MAX);
        let claimed = async {
            let mut connection = self.environment.database.connection().await?;
            queue::claim(&mut connection, now, now + self.lease(), limit).await
        };
        self.in_time(claimed).await.unwrap_or_else(|error| {
            tracing::warn!(%error, "cannot look for work, trying again");
            Vec::new()
        })
    }

    /// Ends the commands that waited too long.
    async fn expire(&self) {
        match self.in_time(self.end_expired()).await {
            Ok(events) => {
                for event in events {
                    self.outbox.put(event);
                }
            }
            Err(error) => tracing::warn!(%error, "cannot expire commands, trying again"),
        }
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

    async fn end_expired(&self) -> Result<Vec<StreamEvent>, StorageError> {
        let now = self.environment.clock.now();
        let mut transaction = self.environment.database.begin().await?;
        let mut events = Vec::new();
        for command_id in queue::remove_expired(&mut transaction, now).await? {
            let message = "it could not be sent before it expired";
            let kind = FailureKind::Expired;
            let ended = commands::fail(&mut transaction, command_id, kind, message, now).await?;
            if let Some(command) = ended {
                let event = record::ended(&self.environment, &mut transaction, &command).await?;
                events.extend(event);
            }
        }
        transaction.commit().await?;
        Ok(events)
    }

    fn lease(&self) -> TimeDelta {
        TimeDelta::from_std(self.settings.lease).unwrap_or(TimeDelta::MAX)
    }
}

/// How a command ended, before it is written down.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Failure {
    kind: FailureKind,
    message: String,
}
