use std::fmt;

use thiserror::Error;

use crate::section::Key;

/// Every problem found in a configuration. No message contains the value of a secret.
#[derive(Debug, Error)]
pub struct SettingsError {
    problems: Vec<InvalidSetting>,
}

impl SettingsError {
    pub(crate) fn new(problems: Vec<InvalidSetting>) -> Self {
        Self { problems }
    }

    /// The problems, at least one.
    #[must_use]
    pub fn problems(&self) -> &[InvalidSetting] {
        &self.problems
    }
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let [problem] = self.problems.as_slice() {
            return write!(f, "the configuration is not valid: {problem}");
        }
        write!(f, "the configuration has {} problems:", self.problems.len())?;
        self.problems
            .iter()
            .try_for_each(|problem| write!(f, "\n  {problem}"))
    }
}

/// One problem: names the setting or file, the origin of the value, and what is accepted.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{message}")]
pub struct InvalidSetting {
    affects: Affects,
    message: String,
}

/// The settings that may have no value because of a problem.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Affects {
    Nothing,
    /// A key, or all keys of a section.
    Path(String),
    /// All keys, because a file was not read.
    Everything,
}

impl InvalidSetting {
    /// A problem that leaves no key without a value.
    pub(crate) fn new(message: String) -> Self {
        let affects = Affects::Nothing;
        Self { affects, message }
    }

    /// A problem of the value of a key or section.
    pub(crate) fn of(path: &str, message: String) -> Self {
        let affects = Affects::Path(path.to_owned());
        Self { affects, message }
    }

    /// A problem of an entire file.
    pub(crate) fn of_file(message: String) -> Self {
        let affects = Affects::Everything;
        Self { affects, message }
    }

    /// Returns whether this problem explains why `key` has no value.
    pub(crate) fn explains_absence_of(&self, key: &Key) -> bool {
        match &self.affects {
            Affects::Nothing => false,
            Affects::Path(path) => key.is_in(path),
            Affects::Everything => true,
        }
    }
}
