//! Throwing away what has had its time.

use std::time::Duration;

use sovd_storage::{StorageError, idempotency, sessions};
use tokio_util::sync::CancellationToken;

use crate::{audit::pruning, commands::KEY_LIFETIME, environment::Environment};

/// How often it is done.
const INTERVAL: Duration = Duration::from_mins(10);

/// Throws old things away until `stop`; audit lines only when there is a time for which they are kept.
/// Any number of processes may.
pub async fn run(
    environment: Environment,
    audit_retention: Option<Duration>,
    stop: CancellationToken,
) {
    loop {
        if let Err(error) = clean(&environment, audit_retention).await {
            tracing::warn!(%error, "cannot throw old things away, trying again later");
        }
        let next = environment.clock.now() + INTERVAL;
        tokio::select! {
            () = stop.cancelled() => return,
            () = environment.clock.sleep_until(next) => {}
        }
    }
}

async fn clean(
    environment: &Environment,
    audit_retention: Option<Duration>,
) -> Result<(), StorageError> {
    forget_expired(environment).await?;
    environment.refusals.forget_old();
    if let Some(retention) = audit_retention {
        pruning::prune(environment, retention).await?;
    }
    Ok(())
}

/// Keys of repeated requests, and sessions with their spent tokens.
async fn forget_expired(environment: &Environment) -> Result<(), StorageError> {
    let mut connection = environment.database.connection().await?;
    let now = environment.clock.now();
    idempotency::forget(&mut connection, now - KEY_LIFETIME).await?;
    sessions::sweep(&mut connection, now).await?;
    Ok(())
}
