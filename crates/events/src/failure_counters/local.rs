use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};

use super::{BackoffPolicy, FailureCounters};

/// At how many names the forgotten ones are looked for.
const FIRST_CLEARING: usize = 1024;

/// Attempts that are counted in this process only.
#[derive(Default)]
pub struct LocalFailureCounters(Mutex<Memory>);

#[derive(Default)]
struct Memory {
    names: HashMap<String, Entry>,
    clear_at: usize,
}

#[derive(Clone, Copy)]
struct Entry {
    failures: u32,
    held_until: DateTime<Utc>,
    forgotten_at: DateTime<Utc>,
}

impl LocalFailureCounters {
    fn lock(&self) -> MutexGuard<'_, Memory> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl FailureCounters for LocalFailureCounters {
    async fn held(&self, names: &[&str], now: DateTime<Utc>) -> Vec<Option<DateTime<Utc>>> {
        let memory = self.lock();
        let until = |name: &&str| Some(memory.names.get(*name)?.held_until);
        let held = names.iter().map(until);
        held.map(|until| until.filter(|until| *until > now))
            .collect()
    }

    async fn fail(&self, failures: &[(&str, BackoffPolicy)], now: DateTime<Utc>) {
        let mut memory = self.lock();
        for (name, pace) in failures {
            let entry = memory.entry(name, now);
            entry.failures = entry.failures.saturating_add(1);
            let held_until = now + pace.delay(entry.failures);
            entry.held_until = entry.held_until.max(held_until);
            entry.forgotten_at = now + pace.memory;
        }
    }

    async fn hold(&self, name: &str, until: DateTime<Utc>, now: DateTime<Utc>) -> bool {
        let mut memory = self.lock();
        let entry = memory.entry(name, now);
        let was_free = entry.held_until <= now;
        entry.held_until = entry.held_until.max(until);
        entry.forgotten_at = entry.forgotten_at.max(until);
        was_free
    }

    async fn forget(&self, name: &str) {
        self.lock().names.remove(name);
    }
}

impl Memory {
    /// What is remembered under `name`, which is new if it was forgotten.
    fn entry(&mut self, name: &str, now: DateTime<Utc>) -> &mut Entry {
        self.clear(now);
        let fresh = Entry {
            failures: 0,
            held_until: now,
            forgotten_at: now + TimeDelta::milliseconds(1),
        };
        let entry = self.names.entry(name.to_owned()).or_insert(fresh);
        if entry.forgotten_at <= now {
            *entry = fresh;
        }
        entry
    }

    /// Drops what is forgotten, each time when there may be twice as much as was left.
    fn clear(&mut self, now: DateTime<Utc>) {
        if self.names.len() < self.clear_at.max(FIRST_CLEARING) {
            return;
        }
        self.names.retain(|_, entry| entry.forgotten_at > now);
        self.clear_at = self.names.len().saturating_mul(2);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn forgotten_names_take_no_memory() {
        let attempts = LocalFailureCounters::default();
        let start: DateTime<Utc> = "2026-01-02T03:04:05Z".parse().unwrap();
        for number in 0..5000 {
            let now = start + TimeDelta::seconds(number);
            let until = now + TimeDelta::seconds(1);
            attempts.hold(&number.to_string(), until, now).await;
            assert!(attempts.lock().names.len() <= FIRST_CLEARING);
        }
    }
}
