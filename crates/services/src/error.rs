use std::time::Duration;

use sovd_domain::FieldError;
use sovd_storage::{Conflict, StorageError};
use thiserror::Error;

use crate::agents::Block;

/// The result of a service.
pub type Result<T, E = ServiceError> = std::result::Result<T, E>;

/// The error of a service.
///
/// Every method that acts for a caller returns [`Self::Forbidden`] or [`Self::Blocked`] if the caller lacks
/// the permission, [`Self::NotFound`] if an object does not exist or the caller cannot access it, and
/// [`Self::Unavailable`] if the database is unavailable or the action of an agent cannot be logged. A method
/// documents further conditions unless they follow from the documentation of its parameters.
#[derive(Debug, Error)]
pub enum ServiceError {
    /// The caller is not authenticated.
    #[error(transparent)]
    NotAuthenticated(#[from] AuthFailure),
    /// The caller lacks the permission.
    #[error("you do not have permission to do this")]
    Forbidden,
    /// The caller is an agent that is not allowed or suspended.
    #[error(transparent)]
    Blocked(#[from] Block),
    /// The object does not exist, or the caller may not see it.
    #[error("there is no such {what}")]
    NotFound {
        /// The kind of object, such as `command`.
        what: &'static str,
        /// The JSON pointer of the field that named it, if any.
        pointer: Option<&'static str>,
    },
    /// The input is invalid.
    #[error("the input is not valid")]
    Invalid(Vec<FieldError>),
    /// The request conflicts with the current state.
    #[error("{reason}")]
    Conflict {
        /// What it conflicts with.
        reason: &'static str,
        /// The JSON pointer of the field in conflict, if any.
        pointer: Option<&'static str>,
    },
    /// The vehicle is not connected, and the command is not queued for later.
    #[error(
        "the vehicle is not connected, and a command of this risk is kept for later only with \
         queue_if_offline"
    )]
    VehicleOffline,
    /// The command has ended, or the vehicle has responded.
    #[error("the command cannot be cancelled: {reason}")]
    NotCancellable {
        /// The state of the command.
        reason: &'static str,
    },
    /// The idempotency key was used with a different request.
    #[error("this idempotency key was used with a different request less than 24 hours ago")]
    IdempotencyMismatch,
    /// The caller exceeds a rate limit.
    #[error("too many requests; try again in {} s", retry_after.as_secs())]
    RateLimited {
        /// Time after which the next request is accepted.
        retry_after: Duration,
    },
    /// The caller, or all callers together, have too many requests in flight.
    #[error("at most {limit} {what} are served at a time; try again in {} s", retry_after.as_secs())]
    TooManyInFlight {
        /// What is bounded, such as `lists of one user`.
        what: &'static str,
        /// Maximum number served at the same time.
        limit: usize,
        /// Time after which to try again.
        retry_after: Duration,
    },
    /// The queue of the vehicle is full.
    #[error(
        "the queue of this vehicle is full: at most {limit} commands of one vehicle may be unfinished"
    )]
    QueueFull {
        /// Maximum number of commands of one vehicle.
        limit: i64,
    },
    /// The caller has too many commands in the queue.
    #[error(
        "{limit} of your commands are unfinished, which is the limit for one user; try again when some \
         of them have ended"
    )]
    TooManyWaiting {
        /// Maximum number of commands of one user.
        limit: i64,
        /// Time after which to try again.
        retry_after: Duration,
    },
    /// The database or its pool is unavailable. A retry may succeed.
    #[error("the service is not available")]
    Unavailable(#[source] StorageError),
    /// An internal error.
    #[error("internal error")]
    Internal(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// The reason why a caller is not authenticated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum AuthFailure {
    /// No token was sent.
    #[error("no access token was sent")]
    MissingToken,
    /// The user is unknown or the password is wrong. The two cases are indistinguishable.
    #[error("the user name or the password is wrong")]
    InvalidCredentials,
    /// The token has expired.
    #[error("the token has expired")]
    TokenExpired,
    /// The token was not issued by this installation, or is of another kind.
    #[error("the token is not valid")]
    TokenInvalid,
    /// The session of the token has ended.
    #[error("the session has ended")]
    SessionRevoked,
    /// The password is right, but the account is disabled.
    #[error("the account is disabled")]
    AccountDisabled,
}

impl ServiceError {
    pub(crate) const fn not_found(what: &'static str, pointer: Option<&'static str>) -> Self {
        Self::NotFound { what, pointer }
    }

    pub(crate) const fn conflict(reason: &'static str, pointer: Option<&'static str>) -> Self {
        Self::Conflict { reason, pointer }
    }

    pub(crate) fn internal(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Internal(error.into())
    }
}

impl From<FieldError> for ServiceError {
    fn from(error: FieldError) -> Self {
        Self::Invalid(vec![error])
    }
}

impl From<StorageError> for ServiceError {
    fn from(error: StorageError) -> Self {
        // The caller was deleted, and this process has not noticed yet.
        if error.conflict() == Some(Conflict::UserMissing) {
            return AuthFailure::SessionRevoked.into();
        }
        match error {
            StorageError::Unavailable(_) => Self::Unavailable(error),
            StorageError::Duplicate { .. }
            | StorageError::Overlap { .. }
            | StorageError::Dangling { .. }
            | StorageError::CorruptRow { .. }
            | StorageError::Database(_)
            | StorageError::Migration(_) => Self::internal(error),
        }
    }
}
