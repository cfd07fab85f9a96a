use std::fmt;
use std::path::PathBuf;

use thiserror::Error;

/// Everything that is wrong with a configuration. Shows no secret's value.
#[derive(Debug, Error)]
pub struct SettingsError {
    problems: Vec<Problem>,
}

impl SettingsError {
    pub(crate) fn new(problems: Vec<Problem>) -> Self {
        Self { problems }
    }

    /// The problems, at least one.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
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

/// One thing that is wrong with a configuration. Values in it are masked.
#[derive(Debug, Error)]
pub enum Problem {
    /// A value is not accepted.
    #[error("{key} = {value} (from {origin}): expected {expected}")]
    Invalid {
        /// Dotted path.
        key: &'static str,
        /// Value in TOML notation.
        value: String,
        /// Where it was read.
        origin: String,
        /// What is accepted.
        expected: String,
    },
    /// A key without a default has no value.
    #[error("{key} is not set: set {variable}, or {variable}_FILE to a file that holds it")]
    Missing {
        /// Dotted path.
        key: &'static str,
        /// Variable that sets it.
        variable: String,
    },
    /// A file or an override names a key that does not exist.
    #[error("{key} (from {origin}) is not a setting")]
    UnknownKey {
        /// Dotted path as it was written.
        key: String,
        /// Where it was read.
        origin: String,
    },
    /// A file gives a value to a section.
    #[error("{key} (from {origin}): expected a section, not a value")]
    NotASection {
        /// Dotted path of the section.
        key: String,
        /// Where it was read.
        origin: String,
    },
    /// A file sets the key that chooses the file.
    #[error("environment (from {origin}) cannot be set in a file: set SOVD_ENVIRONMENT")]
    EnvironmentInFile {
        /// The file.
        origin: String,
    },
    /// A variable begins with `SOVD__` but reaches no key.
    #[error("{name} (from {place}) is not a setting")]
    UnknownVariable {
        /// Name of the variable.
        name: String,
        /// `environment`, or the path of the file of variables.
        place: String,
    },
    /// A variable's value is not Unicode.
    #[error("{name} (from environment) is not valid Unicode")]
    NotUnicode {
        /// Name of the variable.
        name: String,
    },
    /// A value is given both directly and through a file.
    #[error("{name} and {name}_FILE (from {place}) are both set: keep one")]
    BothSet {
        /// Dotted path.
        key: &'static str,
        /// Name of the variable that holds the value.
        name: String,
        /// `environment`, or the path of the file of variables.
        place: String,
    },
    /// The file that a `_FILE` variable names cannot be read.
    #[error("{name} (from {place}) names {}, which cannot be read: {reason}", path.display())]
    UnreadableValue {
        /// Dotted path.
        key: &'static str,
        /// Name of the variable.
        name: String,
        /// `environment`, or the path of the file of variables.
        place: String,
        /// File that it names.
        path: PathBuf,
        /// What the system says.
        reason: String,
    },
    /// A configuration file cannot be read.
    #[error("{} cannot be read: {reason}", path.display())]
    UnreadableFile {
        /// The file.
        path: PathBuf,
        /// What the system says.
        reason: String,
    },
    /// A configuration file does not follow its syntax. The offending line is not quoted, for it
    /// may hold a secret.
    #[error("{file}{}: {reason}", line.map(|line| format!(" line {line}")).unwrap_or_default())]
    Syntax {
        /// The file.
        file: String,
        /// Line, counted from 1, where it is known.
        line: Option<usize>,
        /// What is wrong.
        reason: String,
    },
    /// The key's declared values do not fit its field: a fault of this program.
    #[error("{key} does not fit its field in Settings")]
    Unfit {
        /// Dotted path, as far as known.
        key: String,
    },
}

impl Problem {
    /// Whether this problem explains why the key has no value.
    pub(crate) fn explains_absence_of(&self, path: &str) -> bool {
        match self {
            Self::UnreadableFile { .. } | Self::Syntax { .. } => true,
            Self::Invalid { key, .. }
            | Self::BothSet { key, .. }
            | Self::UnreadableValue { key, .. } => *key == path,
            Self::NotASection { key, .. } => path
                .strip_prefix(key.as_str())
                .is_some_and(|rest| rest.starts_with('.')),
            Self::Missing { .. }
            | Self::UnknownKey { .. }
            | Self::EnvironmentInFile { .. }
            | Self::UnknownVariable { .. }
            | Self::NotUnicode { .. }
            | Self::Unfit { .. } => false,
        }
    }
}
