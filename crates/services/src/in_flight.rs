//! Bounds on the requests of one caller that are served at the same time.

use std::{hash::Hash, sync::Arc, time::Duration};

use crate::{
    error::{Result, ServiceError},
    keyed_permits::KeyedPermits,
};

pub use crate::keyed_permits::KeyedPermit as Permit;

/// Requests of one caller that may wait for a permit; more are refused at once.
const MOST_WAITING: usize = 256;

/// Time that a request waits for a permit.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Time after which a refused caller should try again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Bounds the requests of each caller that this process serves at the same time.
#[derive(Debug)]
pub struct InFlight<K: Eq + Hash> {
    /// What is bounded, such as `requests`.
    what: &'static str,
    permits: Arc<KeyedPermits<K>>,
}

impl<K: Eq + Hash + Clone> InFlight<K> {
    /// Creates a bound of `limit` requests for each caller. `what` names them in refusals.
    pub fn new(what: &'static str, limit: usize) -> Self {
        Self {
            what,
            permits: Arc::new(KeyedPermits::new(limit, MOST_WAITING, TIMEOUT)),
        }
    }

    /// Waits for a permit. Returns [`ServiceError::TooManyInFlight`] if too many requests of the caller wait
    /// already, or none of those in flight ends in time.
    pub async fn admit(&self, key: K) -> Result<Permit<K>> {
        let permit = self.permits.acquire(key).await;
        permit.ok_or_else(|| self.refusal())
    }

    /// Returns a permit, or [`ServiceError::TooManyInFlight`] if none is free.
    pub fn try_admit(&self, key: K) -> Result<Permit<K>> {
        let permit = self.permits.try_acquire(key);
        permit.ok_or_else(|| self.refusal())
    }

    fn refusal(&self) -> ServiceError {
        ServiceError::TooManyInFlight {
            what: self.what,
            limit: self.permits.limit(),
            retry_after: RETRY_AFTER,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_refusal_says_what_is_bounded() {
        let requests = InFlight::new("requests", 1);
        let _first = requests.admit(1).await.unwrap();
        for refused in [requests.try_admit(1), requests.admit(1).await] {
            let Err(ServiceError::TooManyInFlight { what, limit, .. }) = refused else {
                panic!("{refused:?}")
            };
            assert_eq!((what, limit), ("requests", 1));
        }
    }
}
