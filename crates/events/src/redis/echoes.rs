use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// How many messages may be on their way at a time.
const CAPACITY: usize = 1024;

/// The messages of this process that Redis has yet to deliver back to it.
///
/// A message that is dropped as an echo has reached this process already. One that is not known
/// counts as a message of another process, which costs a look at the database.
#[derive(Default)]
pub(super) struct Echoes(Mutex<HashMap<String, usize>>);

impl Echoes {
    /// Expects the message to come back once.
    pub(super) fn expect(&self, payload: &str) {
        let mut expected = self.lock();
        if expected.len() < CAPACITY {
            *expected.entry(payload.to_owned()).or_default() += 1;
        }
    }

    /// Whether the message is one that was expected.
    pub(super) fn take(&self, payload: &[u8]) -> bool {
        let Ok(payload) = str::from_utf8(payload) else {
            return false;
        };
        let mut expected = self.lock();
        let Some(count) = expected.get_mut(payload) else {
            return false;
        };
        *count -= 1;
        if *count == 0 {
            expected.remove(payload);
        }
        true
    }

    /// Expects nothing: messages do not survive a connection.
    pub(super) fn clear(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
