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

/// The capacity of the queue. An entry takes up to about 2 KB.
const CAPACITY: usize = 4096;

/// The number of queued lookups per user, so that one user cannot fill the queue.
const LOOKUPS_PER_USER: usize = 256;

/// The number of warnings per minute about dropped refusals.
const WARNINGS_PER_MINUTE: NonZeroU32 = NonZeroU32::new(6).unwrap();

/// The time for which [`RefusalQueue::flush`] waits.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);

/// Queues refusals for the audit trail.
///
/// A request must take the same time whether an object is concealed or does not exist. Therefore the
/// request only queues the attempt, and a background task looks up the object and stores the entry. Clones
/// share the queue.
#[derive(Clone)]
pub(super) struct RefusalQueue {
    items: Sender<Item>,
    shared: Arc<Shared>,
}

pub(super) enum Item {
    Refusal(Refusal),
    /// Confirmed once all refusals before it are stored.
    Mark(oneshot::Sender<()>),
}

/// A refused attempt.
pub(super) struct Refusal {
    pub(super) at: DateTime<Utc>,
    pub(super) subject: Subject,
}

pub(super) enum Subject {
    /// A refusal that the rate limit has admitted.
    Entry(Box<AuditEntry>),
    /// A refusal if the object exists.
    Concealed {
        caller: Box<Caller>,
        object: Concealed,
        action: &'static str,
    },
}

/// The state shared by the queue and its writer.
pub(super) struct Shared {
    dropped: AtomicU64,
    warnings: DefaultDirectRateLimiter,
    /// The number of queued lookups by user. Users without lookups are absent.
    lookups: Mutex<HashMap<UserId, usize>>,
}

impl RefusalQueue {
    /// Creates a queue with a task on the current runtime, which ends with the last clone.
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

    /// Queues an attempt that is a refusal if `object` exists.
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

    /// Waits up to 2 s until all refusals queued so far are stored.
    pub(super) async fn flush(&self) {
        let flushed = async {
            let (mark, confirmation) = oneshot::channel();
            if self.items.send(Item::Mark(mark)).await.is_ok() {
                let _ = confirmation.await;
            }
        };
        if timeout(FLUSH_TIMEOUT, flushed).await.is_err() {
            let queued = self.items.max_capacity() - self.items.capacity();
            tracing::warn!(queued, "failed to audit refusals before the shutdown");
        }
    }
}

impl Shared {
    /// Counts refusals that are not audited.
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
        let queued = lookups.entry(user_id).or_default();
        let is_admitted = *queued < LOOKUPS_PER_USER;
        if is_admitted {
            *queued += 1;
        }
        is_admitted
    }

    pub(super) fn end_lookup(&self, user_id: UserId) {
        let mut lookups = self.lookups.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(queued) = lookups.get_mut(&user_id) {
            *queued = queued.saturating_sub(1);
            if *queued == 0 {
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
        let database = Database::new("postgres://unknown@127.0.0.1:1/none", pool);
        RefusalQueue::with_capacity(database, RefusalCount::default(), capacity)
    }

    fn dropped(queue: &RefusalQueue) -> u64 {
        queue.shared.dropped.load(Ordering::Relaxed)
    }

    #[tokio::test]
    async fn counts_refusals_dropped_above_the_capacity() {
        let queue = queue(3);
        // The writer has had no chance to run on this single-threaded runtime.
        for expected in [0, 0, 0, 1, 2] {
            queue.put(AuditEntry::new("test", "test"), DateTime::UNIX_EPOCH);
            assert_eq!(dropped(&queue), expected);
        }
    }

    #[tokio::test]
    async fn limits_queued_lookups_per_user() {
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
