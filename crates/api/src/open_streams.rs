use std::{sync::Arc, time::Duration};

use sovd_domain::UserId;
use sovd_services::in_flight::{InFlight, Permit};

use crate::problem::{Code, Problem};

/// How long a user with too many streams should wait. When one of them will end is unknown.
const RETRY: Duration = Duration::from_secs(5);

/// How many streams each user has open in this process.
pub struct OpenStreams {
    limit: usize,
    open: Arc<InFlight<UserId>>,
}

/// One of the streams that a user may have open, until it is dropped.
pub(crate) type OpenStream = Permit<UserId>;

/// The user has as many streams open as the limit allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooManyStreams {
    limit: usize,
}

impl OpenStreams {
    /// Allows each user `limit` streams at a time.
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            open: Arc::new(InFlight::new("streams of one user", limit)),
        }
    }

    /// Counts one more stream of the user for as long as the result is kept.
    pub(crate) fn take(&self, user_id: UserId) -> Result<OpenStream, TooManyStreams> {
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
