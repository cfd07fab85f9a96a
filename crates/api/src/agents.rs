//! Endpoints of agent activity and suspensions.

pub(crate) mod activity;
pub(crate) mod suspensions;
