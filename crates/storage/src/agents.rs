//! The activity log, the blocked attempts and the suspensions of agents.

pub mod activity;
pub mod blocked_attempts;
pub mod suspensions;
