use serde::Deserialize;

use crate::accepts::Accepts;
use crate::key::Key;

/// Rates per user.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Commands per user and minute, 0 to 1000000; 0 is no limit.
    pub commands_per_minute: u32,
    /// Requests per user and minute, 0 to 1000000; 0 is no limit.
    pub requests_per_minute: u32,
}

impl Limits {
    pub(crate) const KEYS: &[Key] = &[
        Key::new("limits.commands_per_minute", Accepts::Whole(0, 1_000_000)),
        Key::new("limits.requests_per_minute", Accepts::Whole(0, 1_000_000)),
    ];
}
