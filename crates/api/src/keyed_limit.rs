use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Bounds how many of something each key may hold at a time in this process.
#[derive(Debug)]
pub(crate) struct KeyedLimit<K: Eq + Hash + Clone> {
    limit: usize,
    /// A key that holds nothing is not in the map, so the map does not grow with the keys ever seen.
    held: Mutex<HashMap<K, usize>>,
}

/// One of the things that a key may hold; dropping it gives it back.
#[derive(Debug)]
pub(crate) struct KeyedPermit<K: Eq + Hash + Clone> {
    limit: Arc<KeyedLimit<K>>,
    key: K,
}

impl<K: Eq + Hash + Clone> KeyedLimit<K> {
    /// Allows each key `limit` permits.
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            limit,
            held: Mutex::default(),
        }
    }

    /// The permits that each key may hold.
    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    /// Takes a permit for `key`, unless the key holds as many as it may.
    pub(crate) fn take(self: &Arc<Self>, key: K) -> Option<KeyedPermit<K>> {
        let mut held = self.lock();
        let count = held.get(&key).copied().unwrap_or_default();
        if count >= self.limit {
            return None;
        }
        held.insert(key.clone(), count + 1);
        Some(KeyedPermit {
            limit: Arc::clone(self),
            key,
        })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<K, usize>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Eq + Hash + Clone> Drop for KeyedPermit<K> {
    fn drop(&mut self) {
        let mut held = self.limit.lock();
        if let Some(count) = held.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                held.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_holds_as_many_permits_as_the_limit() {
        let limit = Arc::new(KeyedLimit::new(2));
        let first = limit.take("one").unwrap();
        let second = limit.take("one").unwrap();
        assert!(limit.take("one").is_none());
        assert!(limit.take("other").is_some());
        drop(first);
        let third = limit.take("one").unwrap();
        assert!(limit.take("one").is_none());
        drop((second, third));
        assert!(limit.lock().is_empty());
    }
}
