use std::error::Error;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::find::Version;
use crate::install::install_line;

/// Why a server could not be found, started, used or installed.
///
/// `Debug` prints the sentence and its causes, so that `unwrap` in a test shows the reader what
/// to do about it.
#[derive(thiserror::Error)]
pub enum StackError {
    /// The server's programs are nowhere on the search path.
    #[error(
        "{server} is not installed. Install it with `cargo devstack install`, or: {}",
        install_line()
    )]
    Missing {
        /// The server's name.
        server: &'static str,
    },

    /// Only a PostgreSQL older than [`Version::OLDEST_POSTGRES`] is installed.
    #[error(
        "PostgreSQL {version} in {} is too old: {} or newer is needed. Install one with \
         `cargo devstack install`, or: {}",
        directory.display(),
        Version::OLDEST_POSTGRES,
        install_line()
    )]
    TooOld {
        /// The newest version that was found.
        version: Version,
        /// The directory of its programs.
        directory: PathBuf,
    },

    /// A file, directory or process could not be used.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// On which file or program.
        path: PathBuf,
        /// What the system answered.
        source: io::Error,
    },

    /// A program ended with a failure.
    #[error("`{program}` failed ({status}): {output}")]
    Command {
        /// The program's name.
        program: String,
        /// How it ended.
        status: std::process::ExitStatus,
        /// The end of what it printed.
        output: String,
    },

    /// PostgreSQL refuses to run as root, and there is no account to run it as.
    #[error("PostgreSQL cannot run as root: create the user `postgres` or `nobody`")]
    NoAccount,

    /// The server ended while it was starting.
    #[error("{server} ended while starting. Its log ends with: {log}")]
    Exited {
        /// The server's name.
        server: &'static str,
        /// The last lines of its log.
        log: String,
    },

    /// The server did not answer, or did not stop, in time.
    #[error("{server} did not {action} within {seconds} s. Its log ends with: {log}")]
    TimedOut {
        /// The server's name.
        server: &'static str,
        /// What it was asked to do.
        action: &'static str,
        /// How long it was given, in seconds.
        seconds: u64,
        /// The last lines of its log.
        log: String,
    },

    /// Every port that was tried was taken by somebody else before the server could bind it.
    #[error("{server} lost the race for its port {attempts} times: try again")]
    PortTaken {
        /// The server's name.
        server: &'static str,
        /// How often it was tried.
        attempts: u32,
    },

    /// The server is already stopped, or already running.
    #[error("{server} is already {state}")]
    WrongState {
        /// The server's name.
        server: &'static str,
        /// What it already is.
        state: &'static str,
    },

    /// Redis would not write its keys out before it was stopped.
    #[error("Redis did not save its keys, so it was not stopped")]
    Unsaved,

    /// The system gave no random bytes.
    #[error("cannot read random bytes from the system")]
    Random(#[from] getrandom::Error),

    /// PostgreSQL did not list its processes.
    #[error("PostgreSQL does not list its processes")]
    Processes,
    /// `DATABASE_URL` is not a URL.
    #[error("DATABASE_URL must look like postgres://user:password@host:port/database")]
    DatabaseUrl,

    /// PostgreSQL refused a connection or a statement.
    #[error("cannot {action}")]
    Database {
        /// What was tried, as a verb.
        action: String,
        /// What PostgreSQL answered.
        source: tokio_postgres::Error,
    },

    /// The caller's migration of a template database failed.
    #[error("cannot migrate the template database `{key}`")]
    Migration {
        /// The template's key.
        key: String,
        /// The migration's own error.
        source: Box<dyn Error + Send + Sync>,
    },

    /// The stack, and with it the thread that creates test databases, has ended.
    #[error("the stack has been dropped: keep it alive for as long as its databases")]
    Ended,

    /// Nothing on this machine can install the servers.
    #[error(
        "cannot install PostgreSQL and Redis here: {reason}. As root, run: {}",
        install_line()
    )]
    CannotInstall {
        /// What is in the way.
        reason: &'static str,
    },
}

impl StackError {
    pub(crate) fn io(
        action: &'static str,
        path: impl AsRef<Path>,
    ) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io {
            action,
            path: path.as_ref().to_path_buf(),
            source,
        }
    }

    pub(crate) fn database(
        action: impl Into<String>,
    ) -> impl FnOnce(tokio_postgres::Error) -> Self {
        move |source| Self::Database {
            action: action.into(),
            source,
        }
    }
}

impl fmt::Debug for StackError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")?;
        let mut cause = self.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}
