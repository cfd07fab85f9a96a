//! Sealing: appending the entries of the audit trail to the hash chain.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use sovd_storage::{Database, StorageError, Transaction, audit::chain};
use tokio_util::sync::CancellationToken;

use super::link;
use crate::timer::Timer;

/// The number of entries sealed in one transaction.
const BATCH: usize = 1000;

/// The age of unsealed entries that causes a warning, and the interval between warnings.
const WARNING_INTERVAL: Duration = Duration::from_mins(1);

/// How long an idle process waits before it checks for entries of other processes, which may have crashed
/// before they sealed them.
const IDLE_INTERVAL: Duration = Duration::from_secs(30);

/// Seals committed entries every `interval` until `stop`, and a last time afterwards. Any number of
/// processes can run this concurrently. While this process does not use the database, it only checks for
/// entries of other processes every 30 s.
///
/// Inserts do not wait for sealing, which processes committed entries in batches.
pub async fn run(
    database: Database,
    clock: Arc<dyn Timer>,
    interval: Duration,
    stop: CancellationToken,
) {
    let mut sealer = Sealer {
        next_warning: clock.now(),
        database: database.clone(),
        clock: Arc::clone(&clock),
        idle: None,
    };
    loop {
        sealer.seal_if_needed().await;
        let next = clock.now() + interval;
        tokio::select! {
            () = stop.cancelled() => break,
            () = clock.sleep_until(next) => {}
        }
    }
    if let Err(error) = seal(&database, OnLock::Wait).await {
        tracing::warn!(%error, "failed to seal the last audit entries");
    }
}

struct Sealer {
    database: Database,
    clock: Arc<dyn Timer>,
    next_warning: DateTime<Utc>,
    idle: Option<Idle>,
}

/// The state after a check that found no unsealed entries while no connection was in use.
struct Idle {
    /// The number of checkouts from the pool by then.
    checkouts: u64,
    /// The time of the next unconditional check.
    until: DateTime<Utc>,
}

impl Sealer {
    /// Seals unsealed entries, unless the process has been idle since the last check.
    async fn seal_if_needed(&mut self) {
        let now = self.clock.now();
        let database = &self.database;
        let checkouts = database.checkouts();
        let is_current = |idle: &Idle| idle.checkouts == checkouts && now < idle.until;
        if self.idle.as_ref().is_some_and(is_current) {
            return;
        }
        self.idle = None;
        let is_unused = database.connections_in_use() == 0;
        match self.oldest_unsealed().await {
            Ok(None) if is_unused => {
                self.idle = Some(Idle {
                    // Includes the checkout of this check.
                    checkouts: checkouts + 1,
                    until: now + IDLE_INTERVAL,
                });
            }
            Ok(None) => {}
            Ok(Some(oldest)) => self.seal(oldest, now).await,
            Err(error) => tracing::warn!(%error, "failed to seal audit entries; retrying"),
        }
    }

    async fn oldest_unsealed(&self) -> Result<Option<DateTime<Utc>>, StorageError> {
        let mut connection = self.database.connection().await?;
        chain::oldest_unsealed(&mut connection).await
    }

    async fn seal(&mut self, oldest: DateTime<Utc>, now: DateTime<Utc>) {
        match seal_all(&self.database).await {
            Ok(0) if now >= self.next_warning => {
                // Sealing reports no error if another process locks the head or an entry.
                if oldest < now - WARNING_INTERVAL {
                    tracing::warn!(%oldest, "audit entries remain unsealed; sealing is blocked");
                }
                self.next_warning = now + WARNING_INTERVAL;
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "failed to seal audit entries; retrying"),
        }
    }
}

/// What to do if another process is sealing.
#[derive(Clone, Copy)]
enum OnLock {
    /// Leave the sealing to the other process.
    Skip,
    /// Wait, because the other process may have started too early to see all entries.
    Wait,
}

/// Seals all committed entries that are not locked and returns their number. Seals none if another process
/// is sealing. If a batch fails, the batches before stay committed.
pub async fn seal_all(database: &Database) -> Result<usize, StorageError> {
    seal(database, OnLock::Skip).await
}

async fn seal(database: &Database, on_lock: OnLock) -> Result<usize, StorageError> {
    let mut total = 0;
    loop {
        let sealed = seal_batch(database, on_lock).await?;
        total += sealed;
        if sealed < BATCH {
            return Ok(total);
        }
    }
}

async fn seal_batch(database: &Database, on_lock: OnLock) -> Result<usize, StorageError> {
    let seal = async |transaction: &mut Transaction| {
        let head = match on_lock {
            OnLock::Skip => chain::claim_head(transaction).await?,
            OnLock::Wait => chain::lock_head(transaction).await?,
        };
        let Some(mut head) = head else {
            return Ok(0);
        };
        let limit = i64::try_from(BATCH).unwrap_or(i64::MAX);
        let entries = chain::lock_unsealed(transaction, limit).await?;
        let mut sealed = Vec::with_capacity(entries.len());
        for entry in &entries {
            head = link::after(head, &entry.content);
            sealed.push((entry.log_id, head));
        }
        if !sealed.is_empty() {
            chain::seal(transaction, &sealed).await?;
        }
        Ok(entries.len())
    };
    database.transaction(seal).await
}
