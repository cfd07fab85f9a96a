use serde::Deserialize;

use crate::accepts::Accepts;
use crate::key::Key;

/// What one caller may ask for, in a minute and at a time. The rates are counted by all processes on one
/// Redis together, what is in flight by each process.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Commands per user and minute, 0 to 1000000; 0 is no limit.
    pub commands_per_minute: u32,
    /// Requests per user and minute, 0 to 1000000; 0 is no limit.
    pub requests_per_minute: u32,
    /// Requests of one caller that this process serves at a time, 1 to 10000. A caller is a user, a
    /// service account, or a client address before login.
    pub requests_in_flight: usize,
    /// Lists and summaries of one caller that this process serves at a time, 1 to 1000.
    pub lists_in_flight: usize,
    /// Exports of one caller that this process serves at a time, 1 to 1000.
    pub exports_per_user: usize,
    /// Exports of all callers that this process serves at a time, 1 to 1000.
    pub exports_in_flight: usize,
}

impl Limits {
    pub(crate) const KEYS: &[Key] = &[
        Key::new("limits.commands_per_minute", Accepts::Whole(0, 1_000_000)),
        Key::new("limits.requests_per_minute", Accepts::Whole(0, 1_000_000)),
        Key::new("limits.requests_in_flight", Accepts::Whole(1, 10_000)),
        Key::new("limits.lists_in_flight", Accepts::Whole(1, 1000)),
        Key::new("limits.exports_per_user", Accepts::Whole(1, 1000)),
        Key::new("limits.exports_in_flight", Accepts::Whole(1, 1000)),
    ];
}
