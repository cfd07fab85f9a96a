use std::fmt;
use std::path::PathBuf;

/// Where the effective value of every key came from.
#[derive(Debug, Clone)]
pub struct Origins(pub(crate) Vec<Row>);

impl Origins {
    /// The source of a key given by its dotted path, or `None` for a key that does not exist.
    #[must_use]
    pub fn of(&self, key: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|row| row.key == key)
            .map(|row| row.origin.as_str())
    }

    /// One row for each key, in the order of the sections.
    #[must_use]
    pub fn rows(&self) -> &[Row] {
        &self.0
    }
}

/// The effective value of one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Dotted path, as `server.port`.
    pub key: &'static str,
    /// Value in TOML notation, `***` in place of anything secret, `none` when there is no value.
    pub value: String,
    /// Source, as `config/default.toml` or `environment DATABASE_URL`.
    pub origin: String,
}

/// The place one value was read from; its text goes into errors and rows.
#[derive(Debug, Clone)]
pub(crate) enum Origin {
    Default,
    BuiltInFile(String),
    File(PathBuf),
    Variable {
        place: Place,
        name: String,
    },
    SecretFile {
        path: PathBuf,
        place: Place,
        name: String,
    },
    Override,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("built-in default"),
            Self::BuiltInFile(name) => write!(f, "built-in {name}"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Variable { place, name } => write!(f, "{place} {name}"),
            Self::SecretFile {
                path,
                place: Place::Environment,
                name,
            } => {
                write!(f, "file {} named by {name}", path.display())
            }
            Self::SecretFile { path, place, name } => {
                write!(f, "file {} named by {place} {name}", path.display())
            }
            Self::Override => f.write_str("override"),
        }
    }
}

/// Where variables are set.
#[derive(Debug, Clone)]
pub(crate) enum Place {
    Environment,
    /// A file of variables, usually `.env`.
    Dotenv(PathBuf),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Environment => f.write_str("environment"),
            Self::Dotenv(path) => write!(f, "{}", path.display()),
        }
    }
}
