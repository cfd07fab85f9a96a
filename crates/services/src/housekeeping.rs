//! Throwing away what has had its time.

use std::time::Duration;

use sovd_storage::{StorageError, agents, blocked_attempts, idempotency, sessions};
use tokio_util::sync::CancellationToken;

use crate::{audit::pruning, commands::KEY_LIFETIME, environment::Environment};

/// How often it is done.
const INTERVAL: Duration = Duration::from_mins(10);

/// How many lines of the agents' log are deleted in one statement.
const BATCH: i64 = 10_000;

/// For how long what happened is kept; nothing is for ever.
#[derive(Debug, Clone, Copy, Default)]
pub struct Retention {
    /// Lines of the audit trail.
    pub audit: Option<Duration>,
    /// Lines of the agents' log.
    pub agents: Option<Duration>,
}

/// Throws old things away until `stop`. Any number of processes may.
pub async fn run(environment: Environment, retention: Retention, stop: CancellationToken) {
    loop {
        if let Err(error) = clean(&environment, retention).await {
            tracing::warn!(%error, "cannot throw old things away, trying again later");
        }
        let next = environment.clock.now() + INTERVAL;
        tokio::select! {
            () = stop.cancelled() => return,
            () = environment.clock.sleep_until(next) => {}
        }
    }
}

async fn clean(environment: &Environment, retention: Retention) -> Result<(), StorageError> {
    forget_expired(environment).await?;
    environment.refusals.forget_old();
    if let Some(retention) = retention.agents {
        forget_actions(environment, retention).await?;
    }
    if let Some(retention) = retention.audit {
        pruning::prune(environment, retention).await?;
    }
    Ok(())
}

/// Keys of repeated requests, sessions with their spent tokens, and attempts that do not count any more.
async fn forget_expired(environment: &Environment) -> Result<(), StorageError> {
    let mut connection = environment.database.connection().await?;
    let now = environment.clock.now();
    idempotency::forget(&mut connection, now - KEY_LIFETIME).await?;
    sessions::sweep(&mut connection, now).await?;
    blocked_attempts::forget(&mut connection, now - environment.agents.window()).await?;
    Ok(())
}

/// What agents did longer ago than `retention`.
async fn forget_actions(
    environment: &Environment,
    retention: Duration,
) -> Result<(), StorageError> {
    let moment = environment.clock.now() - retention;
    loop {
        let mut connection = environment.database.connection().await?;
        if agents::forget(&mut connection, moment, BATCH).await? == 0 {
            return Ok(());
        }
    }
}
