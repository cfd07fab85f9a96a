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
                _ => Self::Database(error),
            },
            DieselError::BrokenTransactionManager => Self::Unavailable(error.to_string()),
            DieselError::QueryBuilderError(source) if source.is::<Outage>() => {
                Self::Unavailable(source.to_string())
            }
            _ => Self::Database(error),
        }
    }
}

/// A statement failed for a reason that may pass.
///
/// diesel has no kind of error for this, so it travels as the source of a
/// [`DieselError::QueryBuilderError`].
#[derive(Debug, Error)]
#[error("{message}")]
pub(crate) struct Outage {
    message: String,
}

impl Outage {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
        }
    }

    /// The outage that a SQLSTATE stands for, with the text of the server; `None` when the
    /// statement would fail again.
    pub(crate) fn from_sqlstate(code: &str, message: &str) -> Option<Self> {
        may_pass(code).then(|| Self::new(format!("{message} (SQLSTATE {code})")))
    }
}

impl From<Outage> for DieselError {
    fn from(outage: Outage) -> Self {
        Self::QueryBuilderError(Box::new(outage))
    }
}

/// Whether the same statement may succeed later, by appendix A of the manual of PostgreSQL.
fn may_pass(code: &str) -> bool {
    const CLASSES: [&str; 3] = [
        "08", // connection exception
        "53", // insufficient resources, such as a full disk
        "58", // system error
    ];
    const CODES: [&str; 10] = [
        "25006", // read_only_sql_transaction
        "25P03", // idle_in_transaction_session_timeout
        "40001", // serialization_failure
        "40P01", // deadlock_detected
        "55P03", // lock_not_available
        "57014", // query_canceled
        "57P01", // admin_shutdown
        "57P02", // crash_shutdown
        "57P03", // cannot_connect_now
        "57P05", // idle_session_timeout
    ];
    CODES.contains(&code) || CLASSES.iter().any(|class| code.starts_with(class))
}
