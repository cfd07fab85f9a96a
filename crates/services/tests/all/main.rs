//! What becomes of commands when connectors, vehicles and processes misbehave, on a real PostgreSQL
//! and with a clock that only the test moves.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod agents;
mod anomalies;
mod audit;
mod audit_cuts;
mod bus;
mod cancel;
mod clearing;
mod clock;
mod detection;
mod fleet;
mod following;
mod housekeeping;
mod insights;
mod late;
mod lease;
mod log;
mod logins;
mod order;
mod outcomes;
mod probe;
mod refusal_work;
mod rig;
mod scripted;
mod shutdown;
mod stuck;
mod watching;
