//! The storage layer on a real PostgreSQL, each test in a database of its own.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod agent_speed;
mod agents;
mod anomalies;
mod anomaly_speed;
mod audit;
mod audit_chain;
mod audit_guards;
mod audit_list;
mod blocked_attempts;
mod booking_slots;
mod bookings;
mod bulk_reads;
mod calling_off;
mod catalogue;
mod commands;
mod detections;
mod episodes;
mod expiry;
mod failover;
mod filters;
mod findings;
mod fleet;
mod honest_outcomes;
mod idempotency;
mod idempotency_race;
mod insights;
mod maintenance;
mod migrations;
mod next_moment;
mod outage;
mod patience;
mod pool;
mod probe;
mod queue;
mod queue_heads;
mod queue_lock;
mod queue_postpone;
mod queue_race;
mod queue_sends;
mod queue_speed;
mod references;
mod refusals;
mod responses;
mod schema;
mod schema_maintenance;
mod seeds;
mod server_limits;
mod service_accounts;
mod sessions;
mod signals;
mod spent_tokens;
mod sqlstates;
mod startup;
mod suspensions;
mod tie_speed;
mod tls;
mod unread_answers;
mod user_changes;
mod users;
mod vehicle_back;
mod vehicle_changes;
mod vehicles;
mod verify;
