use std::{slice, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use sovd_domain::{AuditEntry, AuditResult, Random, SystemRandom};
use sovd_storage::{
    Database, StorageError,
    audit::{self, DeferredEntry},
};
use tokio::{
    sync::{mpsc::Receiver, oneshot},
    time::sleep,
};

use super::{
    Concealed, RefusalRateLimit,
    queue::{Drops, Item, Refusal, RefusalSubject},
};
use crate::identity::caller::Caller;

/// The number of refusals stored in one statement.
const BATCH: usize = 256;

/// The delay after the first refusal of a batch. It makes batches larger, and separates the insertion from
/// the next request of the same client.
const BATCH_DELAY: Duration = Duration::from_millis(50);

/// The delay between attempts while the database is unavailable.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// Stores queued refusals in the audit trail.
pub(super) struct Writer {
    pub(super) database: Database,
    pub(super) rate_limit: RefusalRateLimit,
    pub(super) drops: Arc<Drops>,
}

impl Writer {
    /// Stores refusals in order until the queue is dropped.
    pub(super) async fn run(self, mut items: Receiver<Item>) {
        while let Some(first) = items.recv().await {
            if matches!(first, Item::Refusal(_)) {
                sleep(BATCH_DELAY).await;
            }
            let mut refusals = Vec::new();
            let mut marks: Vec<oneshot::Sender<()>> = Vec::new();
            let mut next = Some(first);
            while let Some(item) = next {
                match item {
                    Item::Refusal(refusal) => refusals.push(refusal),
                    Item::Mark(mark) => marks.push(mark),
                }
                let has_room = refusals.len() < BATCH;
                next = has_room.then(|| items.try_recv().ok()).flatten();
            }
            self.write(refusals).await;
            for mark in marks {
                let _ = mark.send(());
            }
        }
    }

    async fn write(&self, refusals: Vec<Refusal>) {
        let entries = self.resolve(refusals).await;
        if entries.is_empty() {
            return;
        }
        let Err(error) = self.insert(&entries).await else {
            return;
        };
        tracing::debug!(%error, "failed to audit a batch of refusals; auditing them individually");
        for entry in &entries {
            self.write_one(entry).await;
        }
    }

    /// Returns the entries of refusals that concern existing objects and are within the rate limits.
    async fn resolve(&self, refusals: Vec<Refusal>) -> Vec<DeferredEntry> {
        let mut entries = Vec::with_capacity(refusals.len());
        for Refusal { at, subject } in refusals {
            match subject {
                RefusalSubject::Entry(entry) => entries.push(deferred(*entry, at)),
                RefusalSubject::Concealed {
                    caller,
                    object,
                    action,
                    permit: _permit,
                } => match self.look_up(object, &caller, action).await {
                    Ok(None) => {}
                    Ok(Some(entry)) => {
                        let entry = AuditEntry {
                            result: AuditResult::Refused,
                            ..entry
                        };
                        if self.rate_limit.admits_entry(&entry) {
                            entries.push(deferred(entry, at));
                        }
                    }
                    Err(error) => self.give_up(&error, action),
                },
            }
        }
        entries
    }

    async fn look_up(
        &self,
        object: Concealed,
        caller: &Caller,
        action: &'static str,
    ) -> Result<Option<AuditEntry>, StorageError> {
        let attempt = || async {
            let mut connection = self.database.connection().await?;
            object.entry(&mut connection, caller, action).await
        };
        until_available(attempt).await
    }

    async fn insert(&self, entries: &[DeferredEntry]) -> Result<(), StorageError> {
        let attempt = || async {
            let mut connection = self.database.connection().await?;
            audit::insert_deferred(&mut connection, entries).await
        };
        until_available(attempt).await
    }

    async fn write_one(&self, entry: &DeferredEntry) {
        let written = match self.insert(slice::from_ref(entry)).await {
            // The caller or the object has since been deleted.
            Err(StorageError::Dangling { .. }) => {
                let attempt = || async {
                    let mut connection = self.database.connection().await?;
                    audit::insert_detached(&mut connection, entry).await
                };
                until_available(attempt).await
            }
            outcome => outcome,
        };
        if let Err(error) = written {
            self.give_up(&error, entry.entry.action);
        }
    }

    fn give_up(&self, error: &StorageError, action: &'static str) {
        tracing::warn!(%error, action, "failed to audit a refusal");
        self.drops.add_one();
    }
}

/// Assigns an id to an entry, which makes repeated insertion idempotent.
fn deferred(entry: AuditEntry, at: DateTime<Utc>) -> DeferredEntry {
    DeferredEntry {
        log_id: SystemRandom.uuid(),
        at,
        entry,
    }
}

/// Repeats `attempt` while the database is unavailable. New refusals remain in the queue meanwhile.
async fn until_available<T, F>(attempt: impl Fn() -> F) -> Result<T, StorageError>
where
    F: Future<Output = Result<T, StorageError>>,
{
    loop {
        let outcome = attempt().await;
        let Err(StorageError::Unavailable(reason)) = outcome else {
            return outcome;
        };
        tracing::warn!(reason, "failed to audit refusals; retrying");
        sleep(RETRY_DELAY).await;
    }
}
