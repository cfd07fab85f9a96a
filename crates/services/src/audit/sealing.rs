//! Sealing: giving the lines of the audit trail their places in the chain.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use sovd_storage::{Database, StorageError, Transaction, audit::chain};
use tokio_util::sync::CancellationToken;

use super::link;
use crate::timer::Timer;

/// How many lines are sealed in one transaction.
const BATCH: usize = 1000;

/// How long lines may wait before that is worth a warning, and the time between two warnings.
const PATIENCE: Duration = Duration::from_mins(1);

/// How long this process relies on having written nothing itself. Another process may leave its lines
/// to this one, or have died before it sealed them.
const SAFETY: Duration = Duration::from_secs(30);

/// Seals what was written, every `interval`, until `stop`, and then what was written up to then. Any
/// number of processes may. While this process does not use the database, it looks for lines of
/// others only, every 30 s.
///
/// Whoever writes a line does not wait for this: lines are sealed together, once they are committed.
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
        quiet: None,
    };
    loop {
        sealer.look().await;
        let next = clock.now() + interval;
        tokio::select! {
            () = stop.cancelled() => break,
            () = clock.sleep_until(next) => {}
        }
    }
    if let Err(error) = seal(&database, Taken::Wait).await {
        tracing::warn!(%error, "cannot seal the last lines of the audit trail");
    }
}

struct Sealer {
    database: Database,
    clock: Arc<dyn Timer>,
    next_warning: DateTime<Utc>,
    quiet: Option<Quiet>,
}

/// A look found no line to seal, and no connection was lent out that could write one.
struct Quiet {
    /// How often a connection was asked for by then.
    checkouts: u64,
    /// When to look even so.
    until: DateTime<Utc>,
}

impl Sealer {
    /// Seals what there may be to seal.
    async fn look(&mut self) {
        let now = self.clock.now();
        let database = &self.database;
        let checkouts = database.checkouts();
        let is_quiet = |quiet: &Quiet| quiet.checkouts == checkouts && now < quiet.until;
        if self.quiet.as_ref().is_some_and(is_quiet) {
            return;
        }
        self.quiet = None;
        let is_unused = database.connections_in_use() == 0;
        match self.oldest_unsealed().await {
            Ok(None) if is_unused => {
                self.quiet = Some(Quiet {
                    // The look itself took one.
                    checkouts: checkouts + 1,
                    until: now + SAFETY,
                });
            }
            Ok(None) => {}
            Ok(Some(oldest)) => self.seal(oldest, now).await,
            Err(error) => tracing::warn!(%error, "cannot seal the audit trail, trying again"),
        }
    }

    async fn oldest_unsealed(&self) -> Result<Option<DateTime<Utc>>, StorageError> {
        let mut connection = self.database.connection().await?;
        chain::oldest_unsealed(&mut connection).await
    }

    async fn seal(&mut self, oldest: DateTime<Utc>, now: DateTime<Utc>) {
        match seal_all(&self.database).await {
            Ok(0) if now >= self.next_warning => {
                // Also where sealing reports no error, because another process holds the chain or
                // a line.
                if oldest < now - PATIENCE {
                    tracing::warn!(%oldest, "audit lines wait to be sealed, something is in the way");
                }
                self.next_warning = now + PATIENCE;
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "cannot seal the audit trail, trying again"),
        }
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
    let seal = async |transaction: &mut Transaction| {
        let head = match taken {
            Taken::Leave => chain::claim_head(transaction).await?,
            Taken::Wait => chain::lock_head(transaction).await?,
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
