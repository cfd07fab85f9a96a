use std::fmt;

use thiserror::Error;

/// Every problem found in a configuration. Each names the setting or file, the origin of the value,
/// and what is accepted. None contains the value of a secret.
#[derive(Debug, Error)]
pub struct SettingsError {
    /// The problems, at least one.
    pub problems: Vec<String>,
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.problems.as_slice() {
            [problem] => write!(f, "the configuration is not valid: {problem}"),
            problems => {
                let (count, list) = (problems.len(), problems.join("\n  "));
                write!(f, "the configuration has {count} problems:\n  {list}")
            }
        }
    }
}
