//! How much one user may ask for.

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use governor::{
    DefaultKeyedRateLimiter, Quota, RateLimiter,
    clock::{Clock, DefaultClock},
};
use sovd_domain::UserId;
use sovd_events::{Admission, SharedRates};

use crate::error::ServiceError;

/// Counts what each user asks for: in all processes together where they share a counter that can be
/// reached, else in this process.
pub struct Limits {
    commands: Option<Limit>,
    requests: Option<Limit>,
    shared: Option<Arc<dyn SharedRates>>,
    clock: DefaultClock,
}

/// How much one user may ask for; 0 is as much as it likes.
#[derive(Debug, Clone, Copy)]
pub struct LimitSettings {
    /// Commands in a minute.
    pub commands_per_minute: u32,
    /// Requests in a minute.
    pub requests_per_minute: u32,
}

impl LimitSettings {
    /// Whether nothing is limited.
    pub fn are_off(self) -> bool {
        self.commands_per_minute == 0 && self.requests_per_minute == 0
    }
}

struct Limit {
    /// What is limited, as part of a name in the shared counter.
    what: &'static str,
    per_minute: NonZeroU32,
    /// The count of this process. It also holds for what the shared counter admits, so that a use
    /// stays counted when the shared counter comes or goes.
    own: DefaultKeyedRateLimiter<UserId>,
}

impl Limits {
    /// Creates limits with all of their allowance left, counted in `shared` where that is given.
    pub fn new(settings: LimitSettings, shared: Option<Arc<dyn SharedRates>>) -> Self {
        Self {
            commands: Limit::new("commands", settings.commands_per_minute),
            requests: Limit::new("requests", settings.requests_per_minute),
            shared,
            clock: DefaultClock::default(),
        }
    }

    /// Counts a command.
    pub(crate) async fn count_command(&self, user_id: UserId) -> Result<(), ServiceError> {
        self.count(self.commands.as_ref(), user_id).await
    }

    /// Counts a request.
    pub(crate) async fn count_request(&self, user_id: UserId) -> Result<(), ServiceError> {
        self.count(self.requests.as_ref(), user_id).await
    }

    async fn count(&self, limit: Option<&Limit>, user_id: UserId) -> Result<(), ServiceError> {
        let Some(limit) = limit else {
            return Ok(());
        };
        let shared = match &self.shared {
            Some(shared) => {
                let name = format!("limit:{}:{user_id}", limit.what);
                shared.count(&name, limit.per_minute).await
            }
            None => None,
        };
        let own = || limit.own.check_key(&user_id);
        let wait = match shared {
            Some(Admission::RefusedFor(wait)) => wait,
            Some(Admission::Admitted) | None => match own() {
                Ok(()) => return Ok(()),
                Err(refusal) => refusal.wait_time_from(self.clock.now()),
            },
        };
        Err(ServiceError::RateLimited {
            retry_after: Duration::from_secs(wait.as_secs() + 1),
        })
    }
}

impl Limit {
    fn new(what: &'static str, per_minute: u32) -> Option<Self> {
        let per_minute = NonZeroU32::new(per_minute)?;
        Some(Self {
            what,
            per_minute,
            own: RateLimiter::keyed(Quota::per_minute(per_minute)),
        })
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[tokio::test]
    async fn one_past_the_limit_is_refused_and_others_are_not() {
        let settings = LimitSettings {
            commands_per_minute: 3,
            requests_per_minute: 0,
        };
        let limits = Limits::new(settings, None);
        let (one, other) = (UserId(Uuid::from_u128(1)), UserId(Uuid::from_u128(2)));
        for _ in 0..3 {
            assert!(limits.count_command(one).await.is_ok());
        }
        let refused = limits.count_command(one).await.unwrap_err();
        let ServiceError::RateLimited { retry_after } = refused else {
            panic!("{refused}")
        };
        assert!((1..=21).contains(&retry_after.as_secs()), "{retry_after:?}");
        assert!(limits.count_command(other).await.is_ok());
    }

    #[tokio::test]
    async fn zero_is_no_limit() {
        let settings = LimitSettings {
            commands_per_minute: 0,
            requests_per_minute: 0,
        };
        let limits = Limits::new(settings, None);
        let user = UserId(Uuid::from_u128(1));
        for _ in 0..10_000 {
            assert!(limits.count_request(user).await.is_ok());
        }
    }
}
