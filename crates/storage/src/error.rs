use std::{convert::Infallible, fmt::Display};

use diesel::{
    ConnectionError,
    result::{DatabaseErrorKind, Error as DieselError},
};
use thiserror::Error;

/// A failed database operation.
///
/// Every function of this crate that uses a connection can return [`Unavailable`](Self::Unavailable) and
/// [`Database`](Self::Database), and one that reads rows also [`CorruptRow`](Self::CorruptRow); their
/// documentation names only the other variants.
#[derive(Debug, Error)]
pub enum StorageError {
    /// The database is unavailable, the pool had no connection in time, or waiting for a lock took too
    /// long. A later attempt may succeed.
    #[error("the database is not available: {0}")]
    Unavailable(String),
    /// A row violates a unique constraint.
    #[error("a row with the same {constraint} exists")]
    Duplicate {
        /// The violated constraint, such as `unq_vehicles_vin`.
        constraint: String,
    },
    /// A row violates an exclusion constraint.
    #[error("a row overlaps by {constraint}")]
    Overlap {
        /// The violated constraint, such as `exc_booking_slots_service_center_id_during`.
        constraint: String,
    },
    /// A row refers to one that does not exist.
    #[error("the row that {constraint} refers to does not exist")]
    Dangling {
        /// The violated constraint, such as `commands_user_id_fkey`.
        constraint: String,
    },
    /// A stored value is invalid.
    #[error("{table}.{column} of row {row} is unreadable: {reason}")]
    CorruptRow {
        /// The table.
        table: &'static str,
        /// The column.
        column: &'static str,
        /// The primary key of the row.
        row: String,
        /// The reason.
        reason: String,
    },
    /// Any other error of the database.
    #[error("the database refused")]
    Database(#[source] DieselError),
    /// A migration cannot be read, applied or reverted.
    #[error("migration failed: {0}")]
    Migration(String),
}

/// The result of a database operation.
pub type Result<T, E = StorageError> = std::result::Result<T, E>;

/// A violated constraint that the caller of a use case can act on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conflict {
    /// Another user has the name.
    UsernameTaken,
    /// Another user has the email address.
    EmailTaken,
    /// Another vehicle has the VIN.
    VinTaken,
    /// The user of a row does not exist.
    UserMissing,
}

impl StorageError {
    /// Returns the conflict that a constraint reports, if the caller of a use case can act on it.
    pub fn conflict(&self) -> Option<Conflict> {
        match self {
            Self::Duplicate { constraint } => match constraint.as_str() {
                "unq_users_username" => Some(Conflict::UsernameTaken),
                "unq_users_email" => Some(Conflict::EmailTaken),
                "unq_vehicles_vin" => Some(Conflict::VinTaken),
                _ => None,
            },
            Self::Dangling { constraint }
                if constraint.ends_with("_user_id_fkey")
                    || constraint == "service_accounts_created_by_fkey" =>
            {
                Some(Conflict::UserMissing)
            }
            _ => None,
        }
    }

    /// Creates the error for a value that cannot be read.
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

impl From<ConnectionError> for StorageError {
    fn from(error: ConnectionError) -> Self {
        Self::Unavailable(error.to_string())
    }
}

impl From<Infallible> for StorageError {
    fn from(error: Infallible) -> Self {
        match error {}
    }
}

impl From<DieselError> for StorageError {
    fn from(error: DieselError) -> Self {
        match &error {
            DieselError::DatabaseError(kind, info) => {
                let constraint = info.constraint_name().unwrap_or("key").to_owned();
                match kind {
                    DatabaseErrorKind::UniqueViolation => Self::Duplicate { constraint },
                    DatabaseErrorKind::ExclusionViolation => Self::Overlap { constraint },
                    DatabaseErrorKind::ForeignKeyViolation => Self::Dangling { constraint },
                    DatabaseErrorKind::ClosedConnection
                    | DatabaseErrorKind::UnableToSendCommand
                    | DatabaseErrorKind::SerializationFailure
                    | DatabaseErrorKind::ReadOnlyTransaction => {
                        Self::Unavailable(info.message().to_owned())
                    }
                    _ => Self::Database(error),
                }
            }
            DieselError::BrokenTransactionManager => Self::Unavailable(error.to_string()),
            DieselError::QueryBuilderError(source) if source.is::<Outage>() => {
                Self::Unavailable(source.to_string())
            }
            _ => Self::Database(error),
        }
    }
}

/// A transient failure of a statement.
///
/// diesel has no such error kind, so it is the source of a [`DieselError::QueryBuilderError`].
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

    /// Returns the outage for a SQLSTATE, with the message of the server; `None` if the statement would
    /// fail again.
    pub(crate) fn from_sqlstate(code: &str, message: &str) -> Option<Self> {
        is_transient(code).then(|| Self::new(format!("{message} (SQLSTATE {code})")))
    }
}

impl From<Outage> for DieselError {
    fn from(outage: Outage) -> Self {
        Self::QueryBuilderError(Box::new(outage))
    }
}

/// Whether the same statement may succeed later (PostgreSQL manual, appendix A).
fn is_transient(code: &str) -> bool {
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
