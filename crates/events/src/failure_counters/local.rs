use std::collections::HashMap;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use parking_lot::Mutex;

use super::{BackoffPolicy, FailureCounters};

/// The number of names from which expired entries are removed.
const FIRST_CLEANUP: usize = 1024;

/// Failure counters of this process only.
#[derive(Default)]
pub struct LocalFailureCounters(Mutex<Entries>);

#[derive(Default)]
struct Entries {
    names: HashMap<String, Entry>,
    clean_up_at: usize,
}

#[derive(Clone, Copy)]
struct Entry {
    failures: u32,
    blocked_until: DateTime<Utc>,
    expires_at: DateTime<Utc>,
}

#[async_trait]
impl FailureCounters for LocalFailureCounters {
    async fn blocked_until(
        &self,
        names: &[&str],
        now: DateTime<Utc>,
    ) -> Vec<Option<DateTime<Utc>>> {
        let entries = self.0.lock();
        let blocked_until = |name: &&str| Some(entries.names.get(*name)?.blocked_until);
        names
            .iter()
            .map(|name| blocked_until(name).filter(|until| *until > now))
            .collect()
    }

    async fn record_failures(&self, failures: &[(&str, BackoffPolicy)], now: DateTime<Utc>) {
        let mut entries = self.0.lock();
        for (name, policy) in failures {
            let entry = entries.entry(name, now);
            entry.failures = entry.failures.saturating_add(1);
            let blocked_until = now + policy.delay(entry.failures);
            entry.blocked_until = entry.blocked_until.max(blocked_until);
            entry.expires_at = now + policy.memory;
        }
    }

    async fn block(&self, name: &str, until: DateTime<Utc>, now: DateTime<Utc>) -> bool {
        let mut entries = self.0.lock();
        let entry = entries.entry(name, now);
        let was_free = entry.blocked_until <= now;
        entry.blocked_until = entry.blocked_until.max(until);
        entry.expires_at = entry.expires_at.max(until);
        was_free
    }

    async fn reset(&self, name: &str) {
        self.0.lock().names.remove(name);
    }
}

impl Entries {
    /// Returns the entry of `name`, or a new one if it has none that is valid.
    fn entry(&mut self, name: &str, now: DateTime<Utc>) -> &mut Entry {
        self.clean_up(now);
        let new = Entry {
            failures: 0,
            blocked_until: now,
            expires_at: now + TimeDelta::milliseconds(1),
        };
        let entry = self.names.entry(name.to_owned()).or_insert(new);
        if entry.expires_at <= now {
            *entry = new;
        }
        entry
    }

    /// Removes expired entries whenever the number of entries has doubled.
    fn clean_up(&mut self, now: DateTime<Utc>) {
        if self.names.len() < self.clean_up_at.max(FIRST_CLEANUP) {
            return;
        }
        self.names.retain(|_, entry| entry.expires_at > now);
        self.clean_up_at = self.names.len().saturating_mul(2);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn removes_expired_entries() {
        let counters = LocalFailureCounters::default();
        let start: DateTime<Utc> = "2026-01-02T03:04:05Z".parse().unwrap();
        for number in 0..5000 {
            let now = start + TimeDelta::seconds(number);
            let until = now + TimeDelta::seconds(1);
            counters.block(&number.to_string(), until, now).await;
            assert!(counters.0.lock().names.len() <= FIRST_CLEANUP);
        }
    }
}
