use std::time::Duration;

use serde::Deserialize;

use crate::accepts::Accepts;
use crate::key::Key;

/// Predictive maintenance.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Maintenance {
    /// Minutes that a booking takes of its workshop, 1 to 1440.
    pub slot_minutes: u32,
}

impl Maintenance {
    pub(crate) const KEYS: &[Key] = &[Key::new(
        "maintenance.slot_minutes",
        Accepts::Whole(1, 1440),
    )];

    /// Time that a booking takes of its workshop.
    #[must_use]
    pub fn slot(&self) -> Duration {
        Duration::from_mins(u64::from(self.slot_minutes))
    }
}
