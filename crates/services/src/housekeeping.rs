//! Throwing away what has had its time.

use std::time::Duration;

use sovd_storage::{
    StorageError,
    agents::{activity, blocked_attempts},
    commands::idempotency,
    identity::sessions,
};
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
        clean(&environment, retention, &stop).await;
        let next = environment.clock.now() + INTERVAL;
        tokio::select! {
            () = stop.cancelled() => return,
            () = environment.clock.sleep_until(next) => {}
        }
    }
}

/// One that fails keeps none of the others from being done.
async fn clean(environment: &Environment, retention: Retention, stop: &CancellationToken) {
    report(forget_expired(environment).await);
    environment.refusals.forget_old();
    if let Some(retention) = retention.agents {
        report(forget_actions(environment, retention, stop).await);
    }
    if let Some(retention) = retention.audit {
        report(pruning::prune(environment, retention, stop).await);
    }
}

fn report(outcome: Result<(), StorageError>) {
    if let Err(error) = outcome {
        tracing::warn!(%error, "cannot throw old things away, trying again later");
    }
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

/// What agents did longer ago than `retention`, as far as it goes until `stop`.
async fn forget_actions(
    environment: &Environment,
    retention: Duration,
    stop: &CancellationToken,
) -> Result<(), StorageError> {
    let moment = environment.clock.now() - retention;
    while !stop.is_cancelled() {
        let mut connection = environment.database.connection().await?;
        if activity::forget(&mut connection, moment, BATCH).await? == 0 {
            break;
        }
    }
    Ok(())
}
