use std::{
    num::NonZeroU32,
    sync::{
        Arc,
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
        mpsc::{self, Sender},
        oneshot,
    },
    time::timeout,
};

use super::{RefusalRateLimit, concealed::Concealed, writer::Writer};
use crate::{
    identity::caller::Caller,
    keyed_permits::{KeyedPermit, KeyedPermits},
};

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
    drops: Arc<Drops>,
    /// The permits of queued lookups.
    lookups: Arc<KeyedPermits<UserId>>,
}

pub(super) enum Item {
    Refusal(Refusal),
    /// Confirmed once all refusals before it are stored.
    Mark(oneshot::Sender<()>),
}

pub(super) struct Refusal {
    pub(super) at: DateTime<Utc>,
    pub(super) subject: RefusalSubject,
}

pub(super) enum RefusalSubject {
    /// A refusal that the rate limit has admitted.
    Entry(Box<AuditEntry>),
    /// A refusal if the object exists.
    Concealed {
        caller: Box<Caller>,
        object: Concealed,
        action: &'static str,
        permit: KeyedPermit<UserId>,
    },
}

/// Counts the refusals that the queue and its writer drop.
pub(super) struct Drops {
    count: AtomicU64,
    warnings: DefaultDirectRateLimiter,
}

impl RefusalQueue {
    /// Creates a queue with a task on the current runtime, which ends with the last clone.
    pub(super) fn new(database: Database, rate_limit: RefusalRateLimit) -> Self {
        Self::with_capacity(database, rate_limit, CAPACITY)
    }

    fn with_capacity(database: Database, rate_limit: RefusalRateLimit, capacity: usize) -> Self {
        let (items, receiver) = mpsc::channel(capacity);
        let drops = Arc::new(Drops {
            count: AtomicU64::new(0),
            warnings: RateLimiter::direct(Quota::per_minute(WARNINGS_PER_MINUTE)),
        });
        let writer = Writer {
            database,
            rate_limit,
            drops: Arc::clone(&drops),
        };
        tokio::spawn(writer.run(receiver));
        Self {
            items,
            drops,
            lookups: Arc::new(KeyedPermits::new(LOOKUPS_PER_USER, 0, Duration::ZERO)),
        }
    }

    pub(super) fn put(&self, entry: AuditEntry, at: DateTime<Utc>) {
        let subject = RefusalSubject::Entry(Box::new(entry));
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
        let Some(permit) = self.lookups.try_acquire(caller.user.user_id) else {
            self.drops.add_one();
            return;
        };
        let subject = RefusalSubject::Concealed {
            caller: Box::new(caller.clone()),
            object,
            action,
            permit,
        };
        self.send(Refusal { at, subject });
    }

    fn send(&self, refusal: Refusal) {
        if self.items.try_send(Item::Refusal(refusal)).is_err() {
            self.drops.add_one();
        }
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

impl Drops {
    /// Counts a refusal that is not audited.
    pub(super) fn add_one(&self) {
        let dropped_total = self.count.fetch_add(1, Ordering::Relaxed) + 1;
        if self.warnings.check().is_ok() {
            tracing::warn!(
                dropped_total,
                "refusals not audited: queue full or write failed"
            );
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
        RefusalQueue::with_capacity(database, RefusalRateLimit::default(), capacity)
    }

    fn dropped(queue: &RefusalQueue) -> u64 {
        queue.drops.count.load(Ordering::Relaxed)
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
        let begin = |user_id| queue.lookups.try_acquire(user_id);
        let mut permits: Vec<_> = (0..LOOKUPS_PER_USER).map_while(|_| begin(one)).collect();
        assert_eq!(permits.len(), LOOKUPS_PER_USER);
        assert!(begin(one).is_none());
        assert!(begin(other).is_some());
        permits.pop();
        permits.extend(begin(one));
        assert_eq!(permits.len(), LOOKUPS_PER_USER);
        assert!(begin(one).is_none());
    }
}
