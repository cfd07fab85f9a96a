use std::fmt;

use serde::Deserialize;

use crate::accepts::Accepts;
use crate::key::Key;

/// What a process runs for; it chooses the file `{environment}.toml`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Environment {
    /// Work on the program itself; the default.
    #[default]
    Development,
    /// Real vehicles; refuses sample secrets.
    Production,
    /// Automated tests.
    Test,
}

impl Environment {
    pub(crate) const KEY: &'static str = "environment";

    pub(crate) const KEYS: &[Key] =
        &[Key::new(Self::KEY, Accepts::OneOf(Self::NAMES)).flat("SOVD_ENVIRONMENT")];

    const NAMES: &[&str] = &["development", "production", "test"];

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        [Self::Development, Self::Production, Self::Test]
            .into_iter()
            .find(|environment| environment.as_str() == name)
    }

    /// The name as it is written in variables and file names.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Development => "development",
            Self::Production => "production",
            Self::Test => "test",
        }
    }

    /// Whether this is [`Environment::Production`].
    #[must_use]
    pub fn is_production(self) -> bool {
        self == Self::Production
    }
}

impl fmt::Display for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
