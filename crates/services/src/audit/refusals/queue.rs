use std::{
    collections::HashMap,
    num::NonZeroU32,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use chrono::{DateTime, Utc};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use sovd_domain::{AuditEntry, UserId};
use sovd_storage::Database;
use tokio::{
    sync::{
        mpsc::{self, Sender, error::TrySendError},
        oneshot,
    },
    time::timeout,
};

use super::{RefusalCount, concealed::Concealed, writer::Writer};
use crate::identity::caller::Caller;

/// Refusals that may wait to be written. An entry takes about 2 KB at most.
const CAPACITY: usize = 4096;

/// Refusals of one user that may wait to be looked up, so that one user cannot fill the queue.
const LOOKUPS_PER_USER: usize = 256;

/// Warnings about refusals that were dropped, per minute.
const WARNINGS_PER_MINUTE: NonZeroU32 = NonZeroU32::new(6).unwrap();

/// Time that [`RefusalQueue::flush`] waits.
const PATIENCE: Duration = Duration::from_secs(2);

/// Takes refusals to the audit trail without making the request wait.
///
/// A request must take the same time whether an object belongs to someone else or does not exist.
/// Therefore the request only puts the attempt here, and a background task looks the object up and writes
/// the audit entry. Clones share the queue.
#[derive(Clone)]
pub(super) struct RefusalQueue {
    items: Sender<Item>,
    shared: Arc<Shared>,
}

pub(super) enum Item {
    Refusal(Refusal),
    /// Answered once everything before it is written.
    Mark(oneshot::Sender<()>),
}

/// A refused attempt.
pub(super) struct Refusal {
    pub(super) at: DateTime<Utc>,
    pub(super) subject: Subject,
}

pub(super) enum Subject {
    /// The refusal is certain, and the rate limit has admitted it.
    Entry(Box<AuditEntry>),
    /// The attempt was a refusal if the object exists.
    Concealed {
        caller: Box<Caller>,
        object: Concealed,
        action: &'static str,
    },
}

/// What the queue and its writer share.
pub(super) struct Shared {
    dropped: AtomicU64,
    warnings: DefaultDirectRateLimiter,
    /// Waiting lookups by user; users without any have no entry.
    lookups: Mutex<HashMap<UserId, usize>>,
}

impl RefusalQueue {
    /// Creates a queue whose task runs on the runtime of the caller and ends with the last clone.
    pub(super) fn new(database: Database, counts: RefusalCount) -> Self {
        Self::with_capacity(database, counts, CAPACITY)
    }

    fn with_capacity(database: Database, counts: RefusalCount, capacity: usize) -> Self {
        let (items, receiver) = mpsc::channel(capacity);
        let shared = Arc::new(Shared {
            dropped: AtomicU64::new(0),
            warnings: RateLimiter::direct(Quota::per_minute(WARNINGS_PER_MINUTE)),
            lookups: Mutex::default(),
        });
        let writer = Writer::new(database, counts, Arc::clone(&shared));
        tokio::spawn(writer.run(receiver));
        Self { items, shared }
    }

    /// Queues a refusal.
    pub(super) fn put(&self, entry: AuditEntry, at: DateTime<Utc>) {
        let subject = Subject::Entry(Box::new(entry));
        self.send(Refusal { at, subject });
    }

    /// Queues an attempt that was a refusal if `object` exists.
    pub(super) fn look_up(
        &self,
        caller: &Caller,
        object: Concealed,
        action: &'static str,
        at: DateTime<Utc>,
    ) {
        let user_id = caller.user.user_id;
        if !self.shared.begin_lookup(user_id) {
            self.shared.count_dropped(1);
            return;
        }
        let subject = Subject::Concealed {
            caller: Box::new(caller.clone()),
            object,
            action,
        };
        if !self.send(Refusal { at, subject }) {
            self.shared.end_lookup(user_id);
        }
    }

    fn send(&self, refusal: Refusal) -> bool {
        let sent = self.items.try_send(Item::Refusal(refusal));
        if let Err(TrySendError::Full(_) | TrySendError::Closed(_)) = sent {
            self.shared.count_dropped(1);
            return false;
        }
        true
    }

    /// Waits until everything queued before is written, for 2 s at most.
    pub(super) async fn flush(&self) {
        let emptied = async {
            let (mark, reached) = oneshot::channel();
            if self.items.send(Item::Mark(mark)).await.is_ok() {
                let _ = reached.await;
            }
        };
        if timeout(PATIENCE, emptied).await.is_err() {
            let waiting = self.items.max_capacity() - self.items.capacity();
            tracing::warn!(waiting, "failed to write refusals before the shutdown");
        }
    }
}

impl Shared {
    /// Counts refusals that will not be audited.
    pub(super) fn count_dropped(&self, count: u64) {
        let dropped_total = self.dropped.fetch_add(count, Ordering::Relaxed) + count;
        if self.warnings.check().is_ok() {
            tracing::warn!(
                dropped_total,
                "refusals not audited: queue full or write failed"
            );
        }
    }

    fn begin_lookup(&self, user_id: UserId) -> bool {
        let mut lookups = self.lookups.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = lookups.entry(user_id).or_default();
        let is_admitted = *waiting < LOOKUPS_PER_USER;
        if is_admitted {
            *waiting += 1;
        }
        is_admitted
    }

    pub(super) fn end_lookup(&self, user_id: UserId) {
        let mut lookups = self.lookups.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(waiting) = lookups.get_mut(&user_id) {
            *waiting = waiting.saturating_sub(1);
            if *waiting == 0 {
                lookups.remove(&user_id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use sovd_storage::PoolSettings;

    use super::*;

    /// A queue in front of a database that refuses connections.
    fn queue(capacity: usize) -> RefusalQueue {
        let pool = PoolSettings {
            size: 1,
            overflow: 0,
            checkout_timeout: Duration::from_secs(1),
            statement_timeout: Duration::from_secs(30),
        };
        let database = Database::new("postgres://nobody@127.0.0.1:1/none", pool);
        RefusalQueue::with_capacity(database, RefusalCount::default(), capacity)
    }

    fn dropped(queue: &RefusalQueue) -> u64 {
        queue.shared.dropped.load(Ordering::Relaxed)
    }

    #[tokio::test]
    async fn drops_and_counts_what_exceeds_the_capacity() {
        let queue = queue(3);
        // The writer has had no chance to run on this single-threaded runtime.
        for expected in [0, 0, 0, 1, 2] {
            queue.put(AuditEntry::new("test", "test"), DateTime::UNIX_EPOCH);
            assert_eq!(dropped(&queue), expected);
        }
    }

    #[tokio::test]
    async fn bounds_the_lookups_of_one_user_and_not_those_of_others() {
        let queue = queue(CAPACITY);
        let [one, other] = [1, 2].map(|number| UserId(uuid::Uuid::from_u128(number)));
        assert!((0..LOOKUPS_PER_USER).all(|_| queue.shared.begin_lookup(one)));
        assert!(!queue.shared.begin_lookup(one));
        assert!(queue.shared.begin_lookup(other));
        queue.shared.end_lookup(one);
        assert!(queue.shared.begin_lookup(one));
        assert!(!queue.shared.begin_lookup(one));
    }
}
