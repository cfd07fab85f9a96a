//! What black-box tests need: the whole program on a database of its own, and clients for it.

mod client;
mod contract;
mod event_source;
mod raw_redis;
mod socket;
mod world;

pub use client::{Client, Reply};
pub use event_source::{Block, EventSource};
pub use raw_redis::RawRedis;
pub use socket::{Closing, Socket};
pub use world::{CONNECTED, NO_MARKER, OFFLINE, OWNED, World, WorldOptions};

use std::time::Duration;

use serde_json::Value;
use tokio::time::timeout;

/// How long a test waits for something that must happen.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Waits for `event`, and fails the test when it does not come.
pub async fn within<T>(what: &str, event: impl Future<Output = T>) -> T {
    let outcome = timeout(PATIENCE, event).await;
    outcome.unwrap_or_else(|_| panic!("waited {PATIENCE:?} for {what}"))
}

/// The numbers of the responses among `events`, as they came.
pub fn numbers(events: &[Value]) -> Vec<i64> {
    events
        .iter()
        .filter_map(|event| event["sequence_number"].as_i64())
        .collect()
}
