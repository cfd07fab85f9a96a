//! The storage layer on a real PostgreSQL, each test in a database of its own.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod audit;
mod catalogue;
mod commands;
mod expiry;
mod filters;
mod fleet;
mod migrations;
mod outage;
mod pool;
mod queue;
mod queue_race;
mod references;
mod refusals;
mod responses;
mod schema;
mod seeds;
mod sessions;
mod startup;
mod users;
mod vehicles;
mod verify;
