//! Writing down who was turned away.

use std::{net::IpAddr, num::NonZeroU32, sync::Arc};

use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use serde_json::json;
use sovd_domain::{AuditEntry, AuditResult, UserId, audit::Origin};
use sovd_storage::audit;

use crate::environment::Environment;

/// How many refusals of one user, or of strangers at one address, are written down in a minute. The
/// others stand in the log only, or anybody could fill the table.
const PER_MINUTE: NonZeroU32 = NonZeroU32::new(60).unwrap();

/// Writes down the requests that were refused for who sent them.
pub struct Refusals {
    environment: Environment,
}

/// Counts refusals. Clones share the count.
#[derive(Clone)]
pub struct RefusalCount(Arc<DefaultKeyedRateLimiter<Refused>>);

/// Who is counted as one.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Refused {
    User(UserId),
    Stranger(Option<IpAddr>),
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
    /// The path, without the query.
    pub path: &'a str,
    /// The code of the answer.
    pub code: &'static str,
}

impl Default for RefusalCount {
    fn default() -> Self {
        let quota = Quota::per_minute(PER_MINUTE);
        Self(Arc::new(RateLimiter::keyed(quota)))
    }
}

impl Refusals {
    /// A service that writes refusals down.
    pub fn new(environment: Environment) -> Self {
        Self { environment }
    }

    /// Writes a refusal down. It stands, whether or not that works.
    pub async fn note(&self, request: RefusedRequest<'_>) {
        let path: String = request.path.chars().take(512).collect();
        let entry = AuditEntry {
            user_id: request.user_id,
            details: json!({ "method": request.method, "path": path, "code": request.code }),
            origin: request.origin,
            ..AuditEntry::new("access.refuse", "request")
        };
        self.environment.note_refusal(entry).await;
    }
}

impl Environment {
    /// Writes down that somebody may not do what `entry` says.
    pub(crate) async fn note_refusal(&self, entry: AuditEntry) {
        let entry = AuditEntry {
            result: AuditResult::Refused,
            ..entry
        };
        let refused = entry
            .user_id
            .map_or(Refused::Stranger(entry.origin.ip_address), Refused::User);
        if self.refusals.0.check_key(&refused).is_err() {
            tracing::warn!(action = entry.action, "refused, as many times before");
            return;
        }
        let now = self.clock.now();
        let writing = async {
            let mut connection = self.database.connection().await?;
            audit::insert(&mut connection, &entry, now).await
        };
        if let Err(error) = writing.await {
            tracing::warn!(%error, action = entry.action, "a refusal is not in the audit trail");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_who_is_refused_too_often_does_not_silence_others() {
        let refusals = RefusalCount::default();
        let one = Refused::Stranger(None);
        assert!((0..60).all(|_| refusals.0.check_key(&one).is_ok()));
        assert!(refusals.0.check_key(&one).is_err());
        let other = Refused::User(UserId(uuid::Uuid::nil()));
        assert!(refusals.0.check_key(&other).is_ok());
    }
}
