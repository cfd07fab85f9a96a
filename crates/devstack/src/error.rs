#![expect(missing_docs, reason = "the message of a variant documents its fields")]

use std::error::Error;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

use crate::install::install_line;
use crate::search_path::{OLDEST_POSTGRES, PostgresBinaries};

/// An error of finding, installing, starting or using a server.
///
/// `Debug` prints the message and its causes, so that `unwrap` in a test shows what to do.
#[derive(thiserror::Error)]
pub enum StackError {
    #[error(
        "{server} is not installed. Install it with `cargo devstack install`, or: {}",
        install_line()
    )]
    Missing { server: &'static str },
    #[error(
        "{found} is too old: {OLDEST_POSTGRES} or newer is needed. Install it with \
         `cargo devstack install`, or: {}",
        install_line()
    )]
    TooOld { found: PostgresBinaries },
    #[error("cannot {action} {}", path.display())]
    Io {
        action: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error("`{program}` failed ({status}): {output}")]
    Command {
        program: String,
        status: ExitStatus,
        output: String,
    },
    #[error("PostgreSQL cannot run as root: create the user `postgres` or `nobody`")]
    NoAccount,
    #[error("{server} exited during startup. Its log ends with: {log}")]
    Exited { server: &'static str, log: String },
    #[error("{server} did not {action} in time. Its log ends with: {log}")]
    TimedOut {
        server: &'static str,
        action: &'static str,
        log: String,
    },
    #[error("{server} found its port in use at every attempt; try again")]
    PortTaken { server: &'static str },
    #[error("{server} is already {state}")]
    WrongState {
        server: &'static str,
        state: &'static str,
    },
    #[error("PostgreSQL did not list its processes")]
    Processes,
    #[error("DATABASE_URL must look like postgres://user:password@host:port/database")]
    DatabaseUrl,
    #[error("cannot {action}")]
    Database {
        action: String,
        source: tokio_postgres::Error,
    },
    #[error("cannot migrate the template database `{key}`")]
    Migration {
        key: String,
        source: Box<dyn Error + Send + Sync>,
    },
    #[error("a background task of the stack has ended")]
    Ended,
}

impl StackError {
    pub(crate) fn io(
        action: &'static str,
        path: impl AsRef<Path>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.as_ref().to_path_buf();
        move |source| Self::Io {
            action,
            path,
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
