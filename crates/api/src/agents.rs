//! Endpoints of the agent activity log and of suspensions.

pub(crate) mod activity;
pub(crate) mod suspensions;
