//! Sealing: giving the lines of the audit trail their places in the chain.

use std::time::Duration;

use sovd_storage::{Database, StorageError, audit::chain};
use tokio_util::sync::CancellationToken;

use super::link;
use crate::environment::Environment;

/// How many lines are sealed in one transaction.
const BATCH: usize = 1000;

/// How long lines may wait before that is worth a warning, and the time between two warnings.
const PATIENCE: Duration = Duration::from_mins(1);

/// Seals what was written, every `interval`, until `stop`, and then what was written up to then. Any
/// number of processes may.
///
/// Whoever writes a line does not wait for this: lines are sealed together, once they are committed.
pub async fn run(environment: Environment, interval: Duration, stop: CancellationToken) {
    let mut next_look = environment.clock.now();
    loop {
        if let Err(error) = seal_all(&environment.database).await {
            tracing::warn!(%error, "cannot seal the audit trail, trying again");
        }
        let now = environment.clock.now();
        if now >= next_look {
            warn_of_waiting_lines(&environment).await;
            next_look = now + PATIENCE;
        }
        tokio::select! {
            () = stop.cancelled() => break,
            () = environment.clock.sleep_until(now + interval) => {}
        }
    }
    if let Err(error) = seal(&environment.database, Taken::Wait).await {
        tracing::warn!(%error, "cannot seal the last lines of the audit trail");
    }
}

/// What to do when somebody else is sealing.
#[derive(Clone, Copy)]
enum Taken {
    /// Leave it to them.
    Leave,
    /// Wait: they may have begun too early to see all.
    Wait,
}

/// Also where sealing reports no error, because somebody else holds the chain or a line.
async fn warn_of_waiting_lines(environment: &Environment) {
    let found = async {
        let mut connection = environment.database.connection().await?;
        chain::oldest_unsealed(&mut connection).await
    };
    match found.await {
        Ok(Some(oldest)) if oldest < environment.clock.now() - PATIENCE => {
            tracing::warn!(%oldest, "audit lines wait to be sealed, something is in the way");
        }
        Ok(_) => {}
        Err(error) => tracing::warn!(%error, "cannot tell whether audit lines wait to be sealed"),
    }
}

/// Seals every line that is committed and that nobody is changing; says how many. None when another
/// process is sealing.
///
/// # Errors
///
/// When the database is away or refuses. What was sealed before stays so.
pub async fn seal_all(database: &Database) -> Result<usize, StorageError> {
    seal(database, Taken::Leave).await
}

async fn seal(database: &Database, taken: Taken) -> Result<usize, StorageError> {
    let mut total = 0;
    loop {
        let sealed = seal_batch(database, taken).await?;
        total += sealed;
        if sealed < BATCH {
            return Ok(total);
        }
    }
}

async fn seal_batch(database: &Database, taken: Taken) -> Result<usize, StorageError> {
    let mut transaction = database.begin().await?;
    let head = match taken {
        Taken::Leave => chain::claim_head(&mut transaction).await?,
        Taken::Wait => chain::lock_head(&mut transaction).await?,
    };
    let Some(mut head) = head else {
        transaction.rollback().await?;
        return Ok(0);
    };
    let limit = i64::try_from(BATCH).unwrap_or(i64::MAX);
    let lines = chain::lock_unsealed(&mut transaction, limit).await?;
    if lines.is_empty() {
        transaction.rollback().await?;
        return Ok(0);
    }
    let mut sealed = Vec::with_capacity(lines.len());
    for line in &lines {
        head = link::after(head, &line.content);
        sealed.push((line.log_id, head));
    }
    chain::seal(&mut transaction, &sealed).await?;
    transaction.commit().await?;
    Ok(lines.len())
}
