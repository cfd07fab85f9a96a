//! Rate limits of one user.

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use governor::{
    DefaultKeyedRateLimiter, Quota, RateLimiter,
    clock::{Clock, DefaultClock},
};
use sovd_domain::UserId;
use sovd_events::{Admission, SharedRates};

use crate::error::{Result, ServiceError};

/// Counts the requests of each user: across all processes while the shared counter is reachable, otherwise
/// in this process.
pub struct Limits {
    commands: Option<Limit>,
    requests: Option<Limit>,
    shared: Option<Arc<dyn SharedRates>>,
    clock: DefaultClock,
}

/// Limits of one user; 0 disables a limit.
#[derive(Debug, Clone, Copy)]
pub struct LimitSettings {
    /// Commands per minute.
    pub commands_per_minute: u32,
    /// Requests per minute.
    pub requests_per_minute: u32,
}

impl LimitSettings {
    /// Returns whether both limits are disabled.
    pub fn are_off(self) -> bool {
        self.commands_per_minute == 0 && self.requests_per_minute == 0
    }
}

struct Limit {
    /// What is limited; part of the shared counter's name.
    what: &'static str,
    per_minute: NonZeroU32,
    /// The counter of this process. It also counts what the shared counter admits, so that no request is
    /// forgotten when the shared counter becomes unavailable.
    own: DefaultKeyedRateLimiter<UserId>,
}

impl Limits {
    /// Creates limits that `shared` counts, if given.
    pub fn new(settings: LimitSettings, shared: Option<Arc<dyn SharedRates>>) -> Self {
        Self {
            commands: Limit::new("commands", settings.commands_per_minute),
            requests: Limit::new("requests", settings.requests_per_minute),
            shared,
            clock: DefaultClock::default(),
        }
    }

    pub(crate) async fn count_command(&self, user_id: UserId) -> Result<()> {
        self.count(self.commands.as_ref(), user_id).await
    }

    pub(crate) async fn count_request(&self, user_id: UserId) -> Result<()> {
        self.count(self.requests.as_ref(), user_id).await
    }

    async fn count(&self, limit: Option<&Limit>, user_id: UserId) -> Result<()> {
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
        let wait = match shared {
            Some(Admission::RefusedFor(wait)) => wait,
            Some(Admission::Admitted) | None => match limit.own.check_key(&user_id) {
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

    fn limits(commands_per_minute: u32) -> Limits {
        let settings = LimitSettings {
            commands_per_minute,
            requests_per_minute: 0,
        };
        Limits::new(settings, None)
    }

    #[tokio::test]
    async fn limits_each_user_separately() {
        let limits = limits(3);
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
    async fn zero_disables_the_limit() {
        let limits = limits(0);
        let user = UserId(Uuid::from_u128(1));
        for _ in 0..10_000 {
            assert!(limits.count_request(user).await.is_ok());
        }
    }
}
