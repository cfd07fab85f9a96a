use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use sovd_domain::UserId;

use crate::problem::{Code, Problem};

/// How long a user with too many streams should wait. Nobody knows when one of them ends.
const RETRY: Duration = Duration::from_secs(5);

/// How many streams each user has open in this process.
pub struct OpenStreams {
    limit: usize,
    /// Whoever has none is not in it, so that it does not grow with the users ever seen.
    open: Mutex<HashMap<UserId, usize>>,
}

/// A place among the open streams of a user, given back when it is dropped.
pub(crate) struct OpenStream {
    streams: Arc<OpenStreams>,
    user_id: UserId,
}

/// The user has as many streams open as one may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooManyStreams {
    limit: usize,
}

impl OpenStreams {
    /// Nobody has a stream yet; each user may have `limit` at a time.
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            open: Mutex::default(),
        }
    }

    /// A place for one more stream of the user, to be kept for as long as the stream is open.
    pub(crate) fn take(self: &Arc<Self>, user_id: UserId) -> Result<OpenStream, TooManyStreams> {
        let mut open = self.lock();
        let count = open.get(&user_id).copied().unwrap_or_default();
        if count >= self.limit {
            return Err(TooManyStreams { limit: self.limit });
        }
        open.insert(user_id, count + 1);
        Ok(OpenStream {
            streams: Arc::clone(self),
            user_id,
        })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<UserId, usize>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        let mut open = self.streams.lock();
        if let Some(count) = open.get_mut(&self.user_id) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.user_id);
            }
        }
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

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    const ONE: UserId = UserId(Uuid::from_u128(1));
    const OTHER: UserId = UserId(Uuid::from_u128(2));

    #[test]
    fn a_user_has_as_many_places_as_the_limit_says() {
        let streams = Arc::new(OpenStreams::new(2));
        let first = streams.take(ONE).ok().unwrap();
        let second = streams.take(ONE).ok().unwrap();
        assert_eq!(streams.take(ONE).err(), Some(TooManyStreams { limit: 2 }));
        assert!(streams.take(OTHER).is_ok());
        drop(first);
        let third = streams.take(ONE).ok().unwrap();
        assert!(streams.take(ONE).is_err());
        drop((second, third));
        assert!(streams.lock().is_empty());
    }
}
