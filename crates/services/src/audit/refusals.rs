//! Writing down who was turned away.

mod hidden;
mod queue;
mod writer;

use std::{num::NonZeroU32, sync::Arc};

use crate::{
    environment::Environment, error::ServiceError, identity::caller::Caller, network::network,
};
use governor::{DefaultDirectRateLimiter, DefaultKeyedRateLimiter, Quota, RateLimiter};
use serde_json::json;
use sovd_domain::{AuditEntry, AuditResult, UserId, VehicleId, audit::Origin};

pub(crate) use hidden::Hidden;
pub use queue::RefusalQueue;

/// How many refusals of one kind are written down in a minute of one user, or of strangers at one
/// address. The others stand in the log only, or anybody could fill the table.
const PER_MINUTE: NonZeroU32 = NonZeroU32::new(60).unwrap();

/// How many of all strangers together.
const STRANGERS_PER_MINUTE: NonZeroU32 = NonZeroU32::new(600).unwrap();

/// Writes down the requests that were refused for who sent them.
pub struct Refusals {
    environment: Environment,
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
    /// A service that writes refusals down.
    pub fn new(environment: Environment) -> Self {
        Self { environment }
    }

    /// Queues the audit entry about a refused request.
    pub fn note(&self, request: RefusedRequest<'_>) {
        let path: String = request.path.chars().take(512).collect();
        let entry = AuditEntry {
            user_id: request.user_id,
            details: json!({ "method": request.method, "path": path, "code": request.code }),
            origin: request.origin,
            ..AuditEntry::new("access.refuse", "request")
        };
        self.environment.write_refusal(entry);
    }
}

impl Environment {
    /// Whether the caller may know of the vehicle. An attempt on one that they may not know of is
    /// written down.
    ///
    /// # Errors
    ///
    /// When the database, which knows whose the vehicle is, is away.
    pub(crate) async fn can_access_vehicle(
        &self,
        caller: &Caller,
        vehicle_id: VehicleId,
        action: &'static str,
    ) -> Result<bool, ServiceError> {
        let is_reached = if let Some(is_reached) = caller.vehicle_access_in_scope(vehicle_id) {
            is_reached
        } else {
            let mut connection = self.database.connection().await?;
            caller
                .can_access_vehicle(&mut connection, vehicle_id)
                .await?
        };
        if !is_reached {
            let entry = AuditEntry {
                entity_id: Some(vehicle_id.0),
                ..caller.audit(action, "vehicle")
            };
            self.note_refusal(caller, entry).await?;
        }
        Ok(is_reached)
    }

    /// Writes down that the caller may not do what `entry` says, in the audit trail and, of an agent, in
    /// the agents' log, where it counts towards a suspension.
    ///
    /// # Errors
    ///
    /// When an agent's attempt cannot be written down.
    pub(crate) async fn note_refusal(
        &self,
        caller: &Caller,
        entry: AuditEntry,
    ) -> Result<(), ServiceError> {
        let target = match entry.entity_id {
            Some(id) => format!("{} {id}", entry.entity_type),
            None => entry.entity_type.to_owned(),
        };
        // Queued first, so that it is not lost if the agent hangs up meanwhile.
        self.write_refusal(entry);
        match caller.acting {
            Some(permission) => {
                self.record_blocked_attempt(caller, permission, target)
                    .await
            }
            None => Ok(()),
        }
    }

    /// Records that the caller asked for an object that they may not see, if it exists.
    ///
    /// Returns to a user at once and without looking the object up, so that the request takes the same
    /// time in both cases. For an agent the lookup and the count of blocked attempts come first, because a
    /// suspension must not lag behind.
    ///
    /// # Errors
    ///
    /// When the attempt of an agent cannot be recorded.
    pub(crate) async fn note_missing(
        &self,
        caller: &Caller,
        hidden: Hidden,
        action: &'static str,
    ) -> Result<(), ServiceError> {
        if caller.acting.is_none() {
            let now = self.clock.now();
            self.refusal_queue.look_up(caller, hidden, action, now);
            return Ok(());
        }
        let (entry, is_reached) = {
            let mut connection = self.database.connection().await?;
            let Some(entry) = hidden.entry(&mut connection, caller, action).await? else {
                return Ok(());
            };
            let is_reached = match (hidden, entry.vehicle_id) {
                // Anomalies of the vehicle name commands of other users, and following up such a name
                // is no attempt at anything.
                (Hidden::Command(_), Some(vehicle_id)) => {
                    caller
                        .can_access_vehicle(&mut connection, vehicle_id)
                        .await?
                }
                _ => false,
            };
            (entry, is_reached)
        };
        if is_reached {
            self.write_refusal(entry);
            return Ok(());
        }
        self.note_refusal(caller, entry).await
    }

    /// Queues an audit entry that says that the caller may not do what `entry` says.
    pub(crate) fn write_refusal(&self, entry: AuditEntry) {
        let entry = AuditEntry {
            result: AuditResult::Refused,
            ..entry
        };
        if self.refusals.admits_entry(&entry) {
            self.refusal_queue.put(entry, self.clock.now());
        }
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
