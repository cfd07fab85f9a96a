use std::env;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::StackError;

/// The oldest supported major version of PostgreSQL.
pub(crate) const OLDEST_POSTGRES: u32 = 15;

/// The directories that are searched for server programs.
#[derive(Clone, Debug)]
pub struct SearchPath(Vec<PathBuf>);

impl SearchPath {
    /// Creates a search path of exactly these directories.
    pub fn new(directories: Vec<PathBuf>) -> Self {
        Self(directories)
    }

    /// Returns `PATH` followed by the directories where Debian, Red Hat and Homebrew install servers.
    pub fn system() -> Self {
        let path = env::var_os("PATH").unwrap_or_default();
        let mut directories: Vec<PathBuf> = env::split_paths(&path).collect();
        directories.extend(["/usr/bin", "/usr/local/bin", "/opt/homebrew/bin"].map(PathBuf::from));
        directories.extend(versioned("/usr/lib/postgresql", ""));
        directories.extend(versioned("/usr", "pgsql-"));
        directories.extend(versioned("/opt/homebrew/opt", "postgresql@"));
        directories.extend(versioned("/usr/local/opt", "postgresql@"));
        Self(directories)
    }

    /// Returns the newest PostgreSQL on the path, or [`StackError::Missing`] or
    /// [`StackError::TooOld`].
    pub fn postgres(&self) -> Result<PostgresBinaries, StackError> {
        // `max_by_key` returns the last of equal versions, and the first directory takes precedence.
        let directories = self.0.iter().rev();
        let found = directories
            .filter_map(|directory| PostgresBinaries::in_directory(directory))
            .max_by_key(|binaries| binaries.version)
            .ok_or(StackError::Missing {
                server: "PostgreSQL",
            })?;
        if found.version.0 < OLDEST_POSTGRES {
            return Err(StackError::TooOld { found });
        }
        Ok(found)
    }

    /// Returns the first `redis-server` on the path, or [`StackError::Missing`].
    pub fn redis(&self) -> Result<PathBuf, StackError> {
        let mut directories = self.0.iter();
        directories
            .find_map(|directory| program(directory, "redis-server"))
            .ok_or(StackError::Missing { server: "Redis" })
    }
}

/// The programs of one PostgreSQL installation.
#[derive(Clone, Debug)]
pub struct PostgresBinaries {
    /// The version, as in "15.18" or "18beta1".
    pub name: String,
    /// The server.
    pub(crate) postgres: PathBuf,
    /// The program that creates a database cluster.
    pub(crate) initdb: PathBuf,
    /// Major and minor version; the latter is 0 in a beta.
    version: (u32, u32),
}

impl PostgresBinaries {
    /// Debian links only some programs into `/usr/bin`, so the others are searched for beside the
    /// target of the link.
    fn in_directory(directory: &Path) -> Option<Self> {
        let postgres = program(directory, "postgres")?.canonicalize().ok()?;
        let initdb = program(postgres.parent()?, "initdb")?;
        let output = Command::new(&postgres).arg("--version").output().ok()?;
        let output = String::from_utf8(output.stdout).ok()?;
        let (_, name) = output.split_once("(PostgreSQL) ")?;
        let name = name.split_whitespace().next()?.to_owned();
        let mut numbers = name.split(|c: char| !c.is_ascii_digit()).map(str::parse);
        let major = numbers.next()?.ok()?;
        let minor = numbers.next().and_then(Result::ok).unwrap_or(0);
        Some(Self {
            name,
            postgres,
            initdb,
            version: (major, minor),
        })
    }
}

impl fmt::Display for PostgresBinaries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PostgreSQL {} in {}", self.name, self.postgres.display())
    }
}

fn program(directory: &Path, name: &str) -> Option<PathBuf> {
    let path = directory.join(name);
    path.is_file().then_some(path)
}

/// Returns the `bin` directory of each installation in `parent` whose name starts with `prefix`.
fn versioned(parent: &str, prefix: &str) -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir(parent).into_iter().flatten().flatten();
    entries
        .filter(move |entry| entry.file_name().to_string_lossy().starts_with(prefix))
        .map(|entry| entry.path().join("bin"))
}
