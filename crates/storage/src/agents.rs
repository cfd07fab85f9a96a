//! Activity and suspensions of agents.

pub mod activity;
pub mod blocked_attempts;
pub mod suspensions;
