use serde::Deserialize;
use strum::{Display, EnumString, VariantNames};

use crate::kind::OneOf;
use crate::section::Key;

/// Deployment environment of a process. Selects the file `{environment}.toml`.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Display, EnumString, VariantNames,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum DeploymentEnvironment {
    /// Development of the program itself; the default.
    #[default]
    Development,
    /// Real vehicles. Rejects sample secrets and other unsafe values.
    Production,
    /// Automated tests.
    Test,
}

impl DeploymentEnvironment {
    pub(crate) const PATH: &str = "environment";

    pub(crate) const KEYS: &[Key] =
        &[Key::new::<OneOf<Self>>(Self::PATH).or_variable("SOVD_ENVIRONMENT")];

    /// Returns whether this is [`DeploymentEnvironment::Production`].
    #[must_use]
    pub fn is_production(self) -> bool {
        self == Self::Production
    }
}
