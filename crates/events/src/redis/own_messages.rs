use std::collections::HashMap;

use parking_lot::Mutex;

/// The maximum number of messages that are expected at a time.
const CAPACITY: usize = 1024;

/// Recognizes the messages of this process that Redis delivers back to it.
///
/// This process has handled such a message already. A message that is not recognized counts as another
/// process's and costs a database read.
#[derive(Default)]
pub(super) struct OwnMessageFilter(Mutex<HashMap<String, usize>>);

impl OwnMessageFilter {
    /// Expects the message to be delivered back once.
    pub(super) fn expect(&self, payload: &str) {
        let mut expected = self.0.lock();
        if expected.len() < CAPACITY {
            *expected.entry(payload.to_owned()).or_default() += 1;
        }
    }

    /// Returns whether the message was expected, and expects it no longer.
    pub(super) fn remove(&self, payload: &[u8]) -> bool {
        let Ok(payload) = str::from_utf8(payload) else {
            return false;
        };
        let mut expected = self.0.lock();
        let Some(count) = expected.get_mut(payload) else {
            return false;
        };
        *count -= 1;
        if *count == 0 {
            expected.remove(payload);
        }
        true
    }

    /// Expects no messages, because those of a previous connection are lost.
    pub(super) fn clear(&self) {
        self.0.lock().clear();
    }
}
