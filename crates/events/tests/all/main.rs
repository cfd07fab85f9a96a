//! Tests of the event bus, the failure counters and the rates.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod bus;
mod failure_counters;
mod redis;
mod subscription;
