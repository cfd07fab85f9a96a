//! The server on its own database, and clients for black-box tests.

mod client;
mod contract;
mod event_source;
mod raw_http;
mod raw_redis;
mod socket;
mod world;

pub use client::{Client, Reply};
pub use event_source::{Block, EventSource};
pub use raw_http::RawHttp;
pub use raw_redis::RawRedis;
pub use socket::{Closing, Socket};
pub use world::{CONNECTED, NO_MARKER, OFFLINE, OWNED, World, WorldOptions};

pub use sovd_devstack::{TIMEOUT, within};

use serde_json::Value;

/// Returns the sequence numbers of the responses among `events`.
pub fn numbers(events: &[Value]) -> Vec<i64> {
    events
        .iter()
        .filter_map(|event| event["sequence_number"].as_i64())
        .collect()
}
