//! How much one user may ask for.

use std::{num::NonZeroU32, time::Duration};

use governor::{
    DefaultKeyedRateLimiter, Quota, RateLimiter,
    clock::{Clock, DefaultClock},
};
use sovd_domain::UserId;

use crate::error::ServiceError;

/// Counts what each user asks for, in this process.
pub struct Limits {
    commands: Option<DefaultKeyedRateLimiter<UserId>>,
    requests: Option<DefaultKeyedRateLimiter<UserId>>,
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

impl Limits {
    /// Limits that nobody has used yet.
    pub fn new(settings: LimitSettings) -> Self {
        Self {
            commands: limiter(settings.commands_per_minute),
            requests: limiter(settings.requests_per_minute),
            clock: DefaultClock::default(),
        }
    }

    /// Counts a command.
    pub(crate) fn count_command(&self, user_id: UserId) -> Result<(), ServiceError> {
        self.count(self.commands.as_ref(), user_id)
    }

    /// Counts a request.
    pub(crate) fn count_request(&self, user_id: UserId) -> Result<(), ServiceError> {
        self.count(self.requests.as_ref(), user_id)
    }

    fn count(
        &self,
        limiter: Option<&DefaultKeyedRateLimiter<UserId>>,
        user_id: UserId,
    ) -> Result<(), ServiceError> {
        let Some(limiter) = limiter else {
            return Ok(());
        };
        limiter.check_key(&user_id).map_err(|refusal| {
            let wait = refusal.wait_time_from(self.clock.now());
            ServiceError::RateLimited {
                retry_after: Duration::from_secs(wait.as_secs() + 1),
            }
        })
    }
}

fn limiter(per_minute: u32) -> Option<DefaultKeyedRateLimiter<UserId>> {
    NonZeroU32::new(per_minute).map(|count| RateLimiter::keyed(Quota::per_minute(count)))
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn one_past_the_limit_is_refused_and_others_are_not() {
        let limits = Limits::new(LimitSettings {
            commands_per_minute: 3,
            requests_per_minute: 0,
        });
        let (one, other) = (UserId(Uuid::from_u128(1)), UserId(Uuid::from_u128(2)));
        for _ in 0..3 {
            assert!(limits.count_command(one).is_ok());
        }
        let refused = limits.count_command(one).unwrap_err();
        let ServiceError::RateLimited { retry_after } = refused else {
            panic!("{refused}")
        };
        assert!((1..=21).contains(&retry_after.as_secs()), "{retry_after:?}");
        assert!(limits.count_command(other).is_ok());
    }

    #[test]
    fn zero_is_no_limit() {
        let limits = Limits::new(LimitSettings {
            commands_per_minute: 0,
            requests_per_minute: 0,
        });
        let user = UserId(Uuid::from_u128(1));
        assert!((0..10_000).all(|_| limits.count_request(user).is_ok()));
    }
}
