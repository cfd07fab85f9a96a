//! Recording of refused requests in the audit trail.

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

/// The number of refusals per minute and action that are audited for one user, or for the unauthenticated
/// callers of one network. Further ones are only logged, so that no caller can fill the table.
const PER_MINUTE: NonZeroU32 = NonZeroU32::new(60).unwrap();

/// The number of refusals per minute that are audited for all unauthenticated callers.
const UNAUTHENTICATED_PER_MINUTE: NonZeroU32 = NonZeroU32::new(600).unwrap();

/// Records refused requests in the audit trail. Clones share the queue.
#[derive(Clone)]
pub struct Refusals {
    queue: RefusalQueue,
    rate_limit: RefusalRateLimit,
    clock: Arc<dyn Timer>,
}

/// Limits the rate of audited refusals. Clones share the state.
#[derive(Clone)]
pub struct RefusalRateLimit(Arc<Counters>);

struct Counters {
    by_source: DefaultKeyedRateLimiter<(Source, &'static str)>,
    unauthenticated: DefaultDirectRateLimiter,
}

/// The source of refused requests that are counted together.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Source {
    User(UserId),
    /// The unauthenticated callers of a network.
    Network(String),
}

/// A request that was refused because of its caller.
#[derive(Debug, Clone)]
pub struct RefusedRequest<'a> {
    /// The caller, if authenticated.
    pub user_id: Option<UserId>,
    /// The origin of the request.
    pub origin: Origin,
    /// The HTTP method.
    pub method: &'a str,
    /// The path, without the query and without parameters that may contain secrets.
    pub path: &'a str,
    /// The problem code of the response.
    pub code: &'static str,
}

impl Default for RefusalRateLimit {
    fn default() -> Self {
        Self(Arc::new(Counters {
            by_source: RateLimiter::keyed(Quota::per_minute(PER_MINUTE)),
            unauthenticated: RateLimiter::direct(Quota::per_minute(UNAUTHENTICATED_PER_MINUTE)),
        }))
    }
}

impl RefusalRateLimit {
    /// Counts a refusal and returns whether it is audited.
    fn admits(&self, source: Source, action: &'static str) -> bool {
        let is_authenticated = matches!(source, Source::User(_));
        let is_admitted = is_authenticated || self.0.unauthenticated.check().is_ok();
        is_admitted && self.0.by_source.check_key(&(source, action)).is_ok()
    }

    /// Counts the refusal described by `entry` and returns whether it is audited.
    fn admits_entry(&self, entry: &AuditEntry) -> bool {
        let source = match entry.user_id {
            Some(user_id) => Source::User(user_id),
            None => Source::Network(network(entry.origin.ip_address)),
        };
        let is_admitted = self.admits(source, entry.action);
        if !is_admitted {
            let action = entry.action;
            tracing::warn!(action, "refusal not audited: rate limit reached");
        }
        is_admitted
    }

    /// Counts an attempt of a suspended agent and returns whether it is recorded.
    pub(crate) fn admits_suspended_agent(&self, user_id: UserId) -> bool {
        self.admits(Source::User(user_id), "agent.suspended")
    }

    /// Removes sources without recent refusals.
    pub(crate) fn remove_inactive(&self) {
        self.0.by_source.retain_recent();
        self.0.by_source.shrink_to_fit();
    }
}

impl Refusals {
    /// Creates the recorder, which writes to the audit trail in the background.
    pub fn new(database: Database, clock: Arc<dyn Timer>) -> Self {
        let rate_limit = RefusalRateLimit::default();
        Self {
            queue: RefusalQueue::new(database, rate_limit.clone()),
            rate_limit,
            clock,
        }
    }

    /// Returns the rate limit.
    pub fn rate_limit(&self) -> &RefusalRateLimit {
        &self.rate_limit
    }

    /// Queues the entry about a refused request.
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

    /// Queues `entry` with the result `refused`.
    pub(crate) fn record(&self, entry: AuditEntry) {
        let entry = AuditEntry {
            result: AuditResult::Refused,
            ..entry
        };
        if self.rate_limit.admits_entry(&entry) {
            self.queue.put(entry, self.clock.now());
        }
    }

    /// Queues the lookup of a concealed object, which is audited if it exists.
    pub(crate) fn look_up(&self, caller: &Caller, object: Concealed, action: &'static str) {
        self.queue.look_up(caller, object, action, self.clock.now());
    }

    /// Waits up to 2 s until all refusals queued so far are stored.
    pub async fn flush(&self) {
        self.queue.flush().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(number: u32) -> Source {
        Source::Network(number.to_string())
    }

    #[test]
    fn limits_are_separate_per_source_and_action() {
        let refusals = RefusalRateLimit::default();
        let admits = |number, action| refusals.admits(source(number), action);
        assert!((0..60).all(|_| admits(1, "access.refuse")));
        assert!(!admits(1, "access.refuse"));
        assert!(admits(1, "command.read"));
        assert!(admits(2, "access.refuse"));
    }

    #[test]
    fn unauthenticated_callers_share_a_limit() {
        let refusals = RefusalRateLimit::default();
        let admitted = (0..2000).filter(|number| refusals.admits(source(*number), "x"));
        assert!((600..700).contains(&admitted.count()));
        let user = Source::User(UserId(uuid::Uuid::nil()));
        assert!(refusals.admits(user, "x"));
    }
}
