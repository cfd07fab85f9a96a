use std::time::Duration;

use serde::Deserialize;

use crate::accepts::Accepts;
use crate::audit::kept_for;
use crate::key::Key;

/// Machines that call with a key: what they may do, and when they are suspended.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Agents {
    /// What changes something and is allowed, each `name:permission`, with the name of a service
    /// account. Everything else that changes something is not.
    pub allow: Vec<String>,
    /// Blocked attempts of an agent at a kind of action, 1 to 1000; one more suspends it.
    pub blocked_attempts: u32,
    /// Minutes in which they are counted, 1 to 1440.
    pub blocked_minutes: u32,
    /// Days for which the log of agents is kept, 0 to 36500; 0 is for ever.
    pub retention_days: u32,
}

impl Agents {
    pub(crate) const KEYS: &[Key] = &[
        Key::new("agents.allow", Accepts::AgentActions),
        Key::new("agents.blocked_attempts", Accepts::Whole(1, 1000)),
        Key::new("agents.blocked_minutes", Accepts::Whole(1, 1440)),
        Key::new("agents.retention_days", Accepts::Whole(0, 36_500)),
    ];

    /// Time in which blocked attempts are counted.
    #[must_use]
    pub fn window(&self) -> Duration {
        Duration::from_mins(u64::from(self.blocked_minutes))
    }

    /// Time for which the log of agents is kept; nothing when it is kept for ever.
    #[must_use]
    pub fn retention(&self) -> Option<Duration> {
        kept_for(self.retention_days)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Settings;

    #[test]
    fn times_are_minutes_and_days_and_zero_days_are_for_ever() {
        let mut agents = Settings::for_tests("postgres://localhost/db", None).agents;
        (agents.blocked_minutes, agents.retention_days) = (2, 3);
        assert_eq!(agents.window(), Duration::from_mins(2));
        assert_eq!(agents.retention(), Some(Duration::from_hours(72)));
        agents.retention_days = 0;
        assert_eq!(agents.retention(), None);
    }
}
