use std::fmt::Display;

use diesel::result::{DatabaseErrorKind, Error as DieselError};
use thiserror::Error;

/// Why the database did not do what it was asked.
#[derive(Debug, Error)]
pub enum StorageError {
    /// The database is away, or the pool had no connection in time. Trying later may help.
    #[error("the database is not available: {0}")]
    Unavailable(String),
    /// A row that must be unique is there already.
    #[error("a row with the same {constraint} exists")]
    Duplicate {
        /// The violated constraint, such as `unq_vehicles_vin`.
        constraint: String,
    },
    /// Another row takes some of the time, or of what else must not overlap.
    #[error("a row overlaps by {constraint}")]
    Overlap {
        /// The violated constraint, such as `exc_booking_slots_service_center_id_during`.
        constraint: String,
    },
    /// What a row refers to is gone.
    #[error("what {constraint} refers to does not exist")]
    Dangling {
        /// The violated constraint, such as `commands_user_id_fkey`.
        constraint: String,
    },
    /// A stored value is none that the program knows.
    #[error("{table}.{column} of row {row} is unreadable: {reason}")]
    CorruptRow {
        /// The table.
        table: &'static str,
        /// The column.
        column: &'static str,
        /// The primary key of the row.
        row: String,
        /// What is wrong.
        reason: String,
    },
    /// Anything else that the database says.
    #[error("the database refused")]
    Database(#[source] DieselError),
    /// A migration cannot be read, applied or reverted.
    #[error("migration failed: {0}")]
    Migration(String),
}

impl StorageError {
    /// Makes the error for a value that cannot be read.
    pub(crate) fn corrupt(
        table: &'static str,
        column: &'static str,
        row: impl Display,
        reason: impl Display,
    ) -> Self {
        Self::CorruptRow {
            table,
            column,
            row: row.to_string(),
            reason: reason.to_string(),
        }
    }
}

impl From<DieselError> for StorageError {
    fn from(error: DieselError) -> Self {
        match &error {
            DieselError::DatabaseError(kind, info) => match kind {
                DatabaseErrorKind::UniqueViolation => Self::Duplicate {
                    constraint: info.constraint_name().unwrap_or("key").to_owned(),
                },
                DatabaseErrorKind::ExclusionViolation => Self::Overlap {
                    constraint: info.constraint_name().unwrap_or("key").to_owned(),
                },
                DatabaseErrorKind::ForeignKeyViolation => Self::Dangling {
                    constraint: info.constraint_name().unwrap_or("key").to_owned(),
                },
                DatabaseErrorKind::ClosedConnection
                | DatabaseErrorKind::UnableToSendCommand
                | DatabaseErrorKind::SerializationFailure
                | DatabaseErrorKind::ReadOnlyTransaction => {
                    Self::Unavailable(info.message().to_owned())
                }
                _ if may_pass(info.message()) => Self::Unavailable(info.message().to_owned()),
                _ => Self::Database(error),
            },
            DieselError::BrokenTransactionManager => Self::Unavailable(error.to_string()),
            _ => Self::Database(error),
        }
    }
}

/// PostgreSQL's class 57 (operator intervention), a lock that took too long, a deadlock and a full
/// disk, of which diesel keeps only the words, and what the driver says when the socket breaks.
fn may_pass(message: &str) -> bool {
    [
        "terminating connection",
        "canceling statement due to",
        "the database system is",
        "connection closed",
        "error communicating",
        "deadlock detected",
        "could not extend file",
    ]
    .iter()
    .any(|start| message.starts_with(start))
}
