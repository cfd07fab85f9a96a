use std::{path::PathBuf, time::Duration};

use serde::Deserialize;

use crate::accepts::Accepts;
use crate::key::Key;

/// Predictive maintenance.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Maintenance {
    /// File of the rules by which trouble codes become anomalies: `anomaly_rules.toml` in the
    /// directory of settings, unless a key says otherwise. Without one, those that the program
    /// brings along.
    pub anomaly_rules: Option<PathBuf>,
    /// Minutes that a booking takes of its workshop, 1 to 1440.
    pub slot_minutes: u32,
    /// Confirmed failures of a component in one model and model year, on however many vehicles, above
    /// which they make an insight, 0 to 1000000, unless whoever derives it says otherwise.
    pub insight_threshold: u32,
}

impl Maintenance {
    pub(crate) const KEYS: &[Key] = &[
        Key::new("maintenance.anomaly_rules", Accepts::FilePath),
        Key::new("maintenance.slot_minutes", Accepts::Whole(1, 1440)),
        Key::new(
            "maintenance.insight_threshold",
            Accepts::Whole(0, 1_000_000),
        ),
    ];

    /// Time that a booking takes of its workshop.
    #[must_use]
    pub fn slot(&self) -> Duration {
        Duration::from_mins(u64::from(self.slot_minutes))
    }
}
