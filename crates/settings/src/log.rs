use serde::Deserialize;

use crate::accepts::Accepts;
use crate::key::Key;

/// Logs.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// A level, or `target=level` directives separated by commas.
    pub level: String,
    /// How a line looks.
    pub format: LogFormat,
}

impl Log {
    pub(crate) const KEYS: &[Key] = &[
        Key::new("log.level", Accepts::LogLevel).flat("LOG_LEVEL"),
        Key::new("log.format", Accepts::OneOf(LogFormat::NAMES)),
    ];
}

/// How a log line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// One JSON object a line, for machines.
    Json,
    /// One short text a line, for people.
    Pretty,
}

impl LogFormat {
    const NAMES: &[&str] = &["json", "pretty"];
}
