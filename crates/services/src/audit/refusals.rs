//! Writing down who was turned away.

mod concealed;
mod queue;
mod writer;

use std::{num::NonZeroU32, sync::Arc};

use governor::{DefaultDirectRateLimiter, DefaultKeyedRateLimiter, Quota, RateLimiter};
use serde_json::json;
use sovd_domain::{AuditEntry, AuditResult, UserId, audit::Origin};
use sovd_storage::Database;

use crate::{identity::caller::Caller, network::network, timer::Timer};

pub(crate) use concealed::Concealed;
use queue::RefusalQueue;

/// How many refusals of one kind are written down in a minute of one user, or of strangers at one
/// address. The others stand in the log only, or anybody could fill the table.
const PER_MINUTE: NonZeroU32 = NonZeroU32::new(60).unwrap();

/// How many of all strangers together.
const STRANGERS_PER_MINUTE: NonZeroU32 = NonZeroU32::new(600).unwrap();

/// Records refused requests in the audit trail. Clones share the queue.
#[derive(Clone)]
pub struct Refusals {
    queue: RefusalQueue,
    count: RefusalCount,
    clock: Arc<dyn Timer>,
}

/// Counts refusals. Clones share the count.
#[derive(Clone)]
pub struct RefusalCount(Arc<Counters>);

struct Counters {
    each: DefaultKeyedRateLimiter<(Refused, &'static str)>,
    strangers: DefaultDirectRateLimiter,
}

/// Who is counted as one.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Refused {
    User(UserId),
    Stranger(String),
}

/// A request that was refused for who sent it.
#[derive(Debug, Clone)]
pub struct RefusedRequest<'a> {
    /// Who it was, if that is known.
    pub user_id: Option<UserId>,
    /// Where it came from.
    pub origin: Origin,
    /// The HTTP method.
    pub method: &'a str,
    /// The path, without the query and without parameters that a user may have typed.
    pub path: &'a str,
    /// The code of the answer.
    pub code: &'static str,
}

impl Default for RefusalCount {
    fn default() -> Self {
        Self(Arc::new(Counters {
            each: RateLimiter::keyed(Quota::per_minute(PER_MINUTE)),
            strangers: RateLimiter::direct(Quota::per_minute(STRANGERS_PER_MINUTE)),
        }))
    }
}

impl RefusalCount {
    /// Whether one more is to be written down.
    fn admits(&self, refused: Refused, action: &'static str) -> bool {
        let is_stranger = matches!(refused, Refused::Stranger(_));
        let of_all = !is_stranger || self.0.strangers.check().is_ok();
        of_all && self.0.each.check_key(&(refused, action)).is_ok()
    }

    /// Whether one more refusal like `entry` may be audited.
    fn admits_entry(&self, entry: &AuditEntry) -> bool {
        let refused = match entry.user_id {
            Some(user_id) => Refused::User(user_id),
            None => Refused::Stranger(network(entry.origin.ip_address)),
        };
        let is_admitted = self.admits(refused, entry.action);
        if !is_admitted {
            tracing::warn!(
                action = entry.action,
                "refusal not audited: rate limit reached"
            );
        }
        is_admitted
    }

    /// Whether one more attempt of a suspended agent is to be written down.
    pub(crate) fn admits_suspended(&self, user_id: UserId) -> bool {
        self.admits(Refused::User(user_id), "agent.suspended")
    }

    /// Forgets those who were not refused lately.
    pub(crate) fn forget_old(&self) {
        self.0.each.retain_recent();
        self.0.each.shrink_to_fit();
    }
}

impl Refusals {
    /// Creates the recorder, which writes to the audit trail in the background.
    pub fn new(database: Database, clock: Arc<dyn Timer>) -> Self {
        let count = RefusalCount::default();
        Self {
            queue: RefusalQueue::new(database, count.clone()),
            count,
            clock,
        }
    }

    /// Returns the counters that bound how many refusals are recorded.
    pub fn count(&self) -> &RefusalCount {
        &self.count
    }

    /// Queues the audit entry of a refused request.
    pub fn record_request(&self, request: RefusedRequest<'_>) {
        let path: String = request.path.chars().take(512).collect();
        let entry = AuditEntry {
            user_id: request.user_id,
            details: json!({ "method": request.method, "path": path, "code": request.code }),
            origin: request.origin,
            ..AuditEntry::new("access.refuse", "request")
        };
        self.record(entry);
    }

    /// Queues the audit entry of the refusal of what `entry` describes.
    pub(crate) fn record(&self, entry: AuditEntry) {
        let entry = AuditEntry {
            result: AuditResult::Refused,
            ..entry
        };
        if self.count.admits_entry(&entry) {
            self.queue.put(entry, self.clock.now());
        }
    }

    /// Queues the lookup of an object that the caller may not see.
    pub(crate) fn look_up(&self, caller: &Caller, object: Concealed, action: &'static str) {
        self.queue.look_up(caller, object, action, self.clock.now());
    }

    /// Waits until everything queued before is written, for 2 s at most.
    pub async fn flush(&self) {
        self.queue.flush().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stranger(number: u32) -> Refused {
        Refused::Stranger(number.to_string())
    }

    #[test]
    fn one_who_is_refused_too_often_silences_neither_others_nor_other_attempts() {
        let refusals = RefusalCount::default();
        let admits = |number, action| refusals.admits(stranger(number), action);
        assert!((0..60).all(|_| admits(1, "access.refuse")));
        assert!(!admits(1, "access.refuse"));
        assert!(admits(1, "command.read"));
        assert!(admits(2, "access.refuse"));
    }

    #[test]
    fn all_strangers_together_do_not_fill_the_trail() {
        let refusals = RefusalCount::default();
        let admitted = (0..2000).filter(|number| refusals.admits(stranger(*number), "x"));
        assert!((600..700).contains(&admitted.count()));
        let user = Refused::User(UserId(uuid::Uuid::nil()));
        assert!(refusals.admits(user, "x"));
    }
}
