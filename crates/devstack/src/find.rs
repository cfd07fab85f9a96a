use std::env;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::StackError;

/// The directories in which server programs are looked for.
#[derive(Clone, Debug)]
pub struct SearchPath {
    directories: Vec<PathBuf>,
}

/// The programs of one PostgreSQL installation.
#[derive(Clone, Debug)]
pub struct PostgresBinaries {
    /// The server.
    pub postgres: PathBuf,
    /// What creates a new cluster.
    pub initdb: PathBuf,
    /// The version of both.
    pub version: Version,
}

/// The program of one Redis installation.
#[derive(Clone, Debug)]
pub struct RedisBinary {
    /// The server.
    pub redis_server: PathBuf,
    /// Its version.
    pub version: Version,
}

/// A server's version, in its numerical order.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// 15 in "15.18".
    pub major: u32,
    /// 18 in "15.18"; 0 where the second part is no number, as in "18beta1".
    pub minor: u32,
    text: String,
}

impl SearchPath {
    /// Exactly these directories.
    #[must_use]
    pub fn new(directories: Vec<PathBuf>) -> Self {
        Self { directories }
    }

    /// `PATH`, then where Debian, Red Hat and Homebrew keep their servers.
    #[must_use]
    pub fn system() -> Self {
        let mut directories: Vec<PathBuf> = env::var_os("PATH")
            .map(|path| env::split_paths(&path).collect())
            .unwrap_or_default();
        directories.extend(
            ["/usr/bin", "/usr/local/bin", "/opt/homebrew/bin"]
                .into_iter()
                .map(PathBuf::from),
        );
        directories.extend(versioned("/usr/lib/postgresql", ""));
        directories.extend(versioned("/usr", "pgsql-"));
        directories.extend(versioned("/opt/homebrew/opt", "postgresql@"));
        directories.extend(versioned("/usr/local/opt", "postgresql@"));
        Self { directories }
    }

    /// The newest PostgreSQL on the path.
    ///
    /// # Errors
    ///
    /// [`StackError::Missing`] and [`StackError::TooOld`] say how to install it.
    pub fn postgres(&self) -> Result<PostgresBinaries, StackError> {
        let newest = self
            .directories
            .iter()
            .filter_map(|directory| PostgresBinaries::in_directory(directory))
            .reduce(|best, next| {
                if next.version > best.version {
                    next
                } else {
                    best
                }
            })
            .ok_or(StackError::Missing {
                server: "PostgreSQL",
            })?;
        if newest.version.major < Version::OLDEST_POSTGRES {
            return Err(StackError::TooOld {
                version: newest.version,
                directory: newest.postgres.with_file_name(""),
            });
        }
        Ok(newest)
    }

    /// The first Redis on the path.
    ///
    /// # Errors
    ///
    /// [`StackError::Missing`] says how to install it.
    pub fn redis(&self) -> Result<RedisBinary, StackError> {
        self.directories
            .iter()
            .find_map(|directory| {
                let redis_server = program(directory, "redis-server")?;
                let version = Version::reported_by(&redis_server, "v=")?;
                Some(RedisBinary {
                    redis_server,
                    version,
                })
            })
            .ok_or(StackError::Missing { server: "Redis" })
    }
}

impl PostgresBinaries {
    /// A link to `postgres` may stand alone in its directory, so `initdb` is looked for beside
    /// the real file.
    fn in_directory(directory: &Path) -> Option<Self> {
        let postgres = program(directory, "postgres")?.canonicalize().ok()?;
        let initdb = program(postgres.parent()?, "initdb")?;
        let version = Version::reported_by(&postgres, "(PostgreSQL) ")?;
        Some(Self {
            postgres,
            initdb,
            version,
        })
    }
}

impl fmt::Display for PostgresBinaries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PostgreSQL {} {}", self.version, self.postgres.display())
    }
}

impl fmt::Display for RedisBinary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Redis {} {}", self.version, self.redis_server.display())
    }
}

impl Version {
    /// The oldest major version of PostgreSQL that will do.
    pub const OLDEST_POSTGRES: u32 = 15;

    fn reported_by(program: &Path, marker: &str) -> Option<Self> {
        let output = Command::new(program).arg("--version").output().ok()?;
        let line = String::from_utf8(output.stdout).ok()?;
        let (_, rest) = line.split_once(marker)?;
        Self::parse(rest.split_whitespace().next()?)
    }

    fn parse(text: &str) -> Option<Self> {
        let (major, rest) = leading_number(text);
        let minor = rest
            .strip_prefix('.')
            .and_then(|rest| leading_number(rest).0);
        Some(Self {
            major: major?,
            minor: minor.unwrap_or(0),
            text: text.to_owned(),
        })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn leading_number(text: &str) -> (Option<u32>, &str) {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    (digits.parse().ok(), rest)
}

fn program(directory: &Path, name: &str) -> Option<PathBuf> {
    let path = directory.join(name);
    path.is_file().then_some(path)
}

/// The `bin` directory of each installation in `parent` whose name starts with `prefix`.
fn versioned(parent: &str, prefix: &str) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(parent) else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix))
        .map(|entry| entry.path().join("bin"))
        .collect()
}
