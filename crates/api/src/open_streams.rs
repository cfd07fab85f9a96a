use std::{sync::Arc, time::Duration};

use sovd_domain::UserId;
use sovd_services::in_flight::{InFlight, Permit};

use crate::problem::{Code, Problem};

/// The `Retry-After` for a user with too many streams. The time at which one ends is unknown.
const RETRY: Duration = Duration::from_secs(5);

/// Limits the streams that each user has open in this process.
pub struct OpenStreams {
    limit: usize,
    open: Arc<InFlight<UserId>>,
}

/// One open stream of a user. It counts until it is dropped.
pub(crate) type OpenStream = Permit<UserId>;

/// The user has reached the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooManyStreams {
    limit: usize,
}

impl OpenStreams {
    /// Allows each user `limit` open streams.
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            open: Arc::new(InFlight::new("streams of one user", limit)),
        }
    }

    /// Counts one more stream of the user until the result is dropped.
    pub(crate) fn open(&self, user_id: UserId) -> Result<OpenStream, TooManyStreams> {
        let refusal = TooManyStreams { limit: self.limit };
        self.open.try_admit(user_id).map_err(|_| refusal)
    }
}

impl From<TooManyStreams> for Problem {
    fn from(refusal: TooManyStreams) -> Self {
        let detail = format!("one user may have {} streams open at a time", refusal.limit);
        Self {
            retry_after: Some(RETRY),
            ..Self::new(Code::RateLimited, detail)
        }
    }
}
