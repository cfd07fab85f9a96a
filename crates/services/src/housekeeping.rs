//! Deletes what has expired.

mod command_retention;

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use derive_more::Constructor;
use sovd_storage::{
    Database, StorageError,
    agents::{activity, blocked_attempts},
    commands::idempotency,
    identity::sessions,
};
use tokio_util::sync::CancellationToken;

use crate::{
    agents::AgentGuard,
    audit::{pruning, refusals::Refusals},
    commands::KEY_LIFETIME,
    timer::Timer,
};

const INTERVAL: Duration = Duration::from_mins(10);

/// Entries of the activity log that are deleted in one statement.
const BATCH: i64 = 10_000;

/// How long records are kept; `None` keeps them forever.
#[derive(Debug, Clone, Copy, Default)]
pub struct Retention {
    /// Commands that have ended, with their responses.
    pub commands: Option<Duration>,
    /// Entries of the audit trail.
    pub audit: Option<Duration>,
    /// Entries of the activity log.
    pub agents: Option<Duration>,
}

/// Deletes expired records periodically. Any number of processes may run it.
#[derive(Constructor)]
pub struct Housekeeping {
    database: Database,
    clock: Arc<dyn Timer>,
    agents: AgentGuard,
    refusals: Refusals,
    retention: Retention,
}

impl Housekeeping {
    /// Runs until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        loop {
            let next = self.clock.now() + INTERVAL;
            self.clean(next, &stop).await;
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.clock.sleep_until(next) => {}
            }
        }
    }

    /// Deletes each kind of record, whether or not the others succeed. The deletion of commands is last and
    /// ends before `next`, so that a backlog of them does not delay the others.
    async fn clean(&self, next: DateTime<Utc>, stop: &CancellationToken) {
        report(self.delete_expired().await);
        self.refusals.rate_limit().remove_inactive();
        if let Some(retention) = self.retention.agents {
            report(self.delete_activity(retention, stop).await);
        }
        if let Some(retention) = self.retention.audit {
            let pruned = pruning::prune(&self.database, self.clock.as_ref(), retention, stop).await;
            report(pruned);
        }
        if let Some(retention) = self.retention.commands {
            let deleted = command_retention::delete_old_commands(
                &self.database,
                self.clock.as_ref(),
                retention,
                next,
                stop,
            );
            report(deleted.await);
        }
    }

    /// Deletes idempotency keys, sessions with their spent tokens, and blocked attempts outside the
    /// window in which they count.
    async fn delete_expired(&self) -> Result<(), StorageError> {
        let mut connection = self.database.connection().await?;
        let now = self.clock.now();
        idempotency::forget(&mut connection, now - KEY_LIFETIME).await?;
        sessions::delete_expired(&mut connection, now).await?;
        blocked_attempts::delete_until(&mut connection, now - self.agents.policy().window())
            .await?;
        Ok(())
    }

    /// Deletes activity of agents older than `retention`, in batches, until `stop`.
    async fn delete_activity(
        &self,
        retention: Duration,
        stop: &CancellationToken,
    ) -> Result<(), StorageError> {
        let moment = self.clock.now() - retention;
        while !stop.is_cancelled() {
            let mut connection = self.database.connection().await?;
            if activity::delete_before(&mut connection, moment, BATCH).await? == 0 {
                break;
            }
        }
        Ok(())
    }
}

fn report(outcome: Result<(), StorageError>) {
    if let Err(error) = outcome {
        tracing::warn!(%error, "failed to delete expired records; retrying later");
    }
}
