use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use crate::accepts::Accepts;
use crate::key::Key;

/// The way to the vehicles.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Connector {
    /// Name of the connector for a vehicle that names none.
    pub default: String,
    /// The simulated vehicle.
    pub mock: MockConnector,
}

impl Connector {
    pub(crate) const KEYS: &[Key] = &[
        Key::new("connector.default", Accepts::Name),
        Key::new("connector.mock.min_delay_ms", Accepts::Whole(0, 600_000)),
        Key::new("connector.mock.max_delay_ms", Accepts::Whole(0, 600_000)),
        Key::new("connector.mock.chunks", Accepts::Whole(1, 1000)),
        Key::new("connector.mock.failure", Accepts::OneOf(MockFailure::NAMES)),
        Key::new("connector.mock.hang", Accepts::Switch),
        Key::new("connector.mock.lose_final", Accepts::Switch),
        Key::new("connector.mock.only", Accepts::CommandNames),
        Key::new("connector.mock.journal", Accepts::FilePath),
    ];
}

/// How the simulated vehicle answers.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MockConnector {
    /// Shortest delay before an answer in milliseconds, at most `max_delay_ms`.
    pub min_delay_ms: u64,
    /// Longest delay before an answer in milliseconds, up to 600000.
    pub max_delay_ms: u64,
    /// Number of chunks in one answer, 1 to 1000.
    pub chunks: u32,
    /// How commands fail.
    pub failure: MockFailure,
    /// Whether a command is never answered.
    pub hang: bool,
    /// Whether an answer ends without its final chunk.
    pub lose_final: bool,
    /// Names of the commands that `failure`, `hang` and `lose_final` apply to, each 1 to 100
    /// letters and digits; empty is all.
    pub only: Vec<String>,
    /// File that every command that was sent is appended to, and that the vehicles remember their
    /// past by; without one, the past ends with the process.
    pub journal: Option<PathBuf>,
}

impl MockConnector {
    /// Shortest delay before an answer.
    #[must_use]
    pub fn min_delay(&self) -> Duration {
        Duration::from_millis(self.min_delay_ms)
    }

    /// Longest delay before an answer.
    #[must_use]
    pub fn max_delay(&self) -> Duration {
        Duration::from_millis(self.max_delay_ms)
    }
}

/// How commands to the simulated vehicle fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MockFailure {
    /// They do not.
    None,
    /// The vehicle refuses.
    Rejected,
    /// The vehicle is out of reach; nothing was sent.
    Unreachable,
    /// The vehicle does not answer in time.
    Timeout,
    /// The connection breaks.
    Broken,
}

impl MockFailure {
    const NAMES: &[&str] = &["none", "rejected", "unreachable", "timeout", "broken"];
}
