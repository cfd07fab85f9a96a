pub(crate) mod activity;
pub(crate) mod blocked_attempts;
pub(crate) mod speed;
pub(crate) mod suspensions;
