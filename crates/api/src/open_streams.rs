use std::{sync::Arc, time::Duration};

use sovd_domain::UserId;

use crate::{
    keyed_limit::{KeyedLimit, KeyedPermit},
    problem::{Code, Problem},
};

/// How long a user with too many streams should wait. When one of them will end is unknown.
const RETRY: Duration = Duration::from_secs(5);

/// How many streams each user has open in this process.
pub struct OpenStreams(Arc<KeyedLimit<UserId>>);

/// One of the streams that a user may have open, until it is dropped.
pub(crate) type OpenStream = KeyedPermit<UserId>;

/// The user has as many streams open as the limit allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooManyStreams {
    limit: usize,
}

impl OpenStreams {
    /// Allows each user `limit` streams at a time.
    pub fn new(limit: usize) -> Self {
        Self(Arc::new(KeyedLimit::new(limit)))
    }

    /// Counts one more stream of the user for as long as the result is kept.
    pub(crate) fn take(&self, user_id: UserId) -> Result<OpenStream, TooManyStreams> {
        self.0.take(user_id).ok_or(TooManyStreams {
            limit: self.0.limit(),
        })
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
