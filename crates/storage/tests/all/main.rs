//! Tests of the storage layer on PostgreSQL, each with its own database.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod agents;
mod audit;
mod bulk_reads;
mod commands;
mod constraints;
mod failover;
mod fixture;
mod fleet;
mod identity;
mod list_plans;
mod maintenance;
mod migrations;
mod notifications;
mod outage;
mod paging;
mod plans;
mod pool;
mod references;
mod schema;
mod schema_maintenance;
mod seeds;
mod server_limits;
mod sqlstates;
mod startup;
mod system_catalog;
mod tie_speed;
mod tls;
mod verify;
mod waiting;
