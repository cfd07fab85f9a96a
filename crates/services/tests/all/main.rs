//! The services on a real PostgreSQL, with a clock that only the test advances.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod agents;
mod audit;
mod captured_log;
mod commands;
mod fixture;
mod fleet;
mod housekeeping;
mod identity;
mod maintenance;
mod parts;
mod recording_bus;
mod scripted_connector;
mod test_timer;
