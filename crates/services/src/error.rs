use std::time::Duration;

use sovd_domain::FieldError;
use sovd_storage::StorageError;
use thiserror::Error;

use crate::agents::Block;

/// Why a use case did not do what was asked.
#[derive(Debug, Error)]
pub enum ServiceError {
    /// It is not known who asks.
    #[error(transparent)]
    NotAuthenticated(#[from] AuthFailure),
    /// It is known, and they may not.
    #[error("you may not do this")]
    Forbidden,
    /// It is known, and it is an agent that may not.
    #[error(transparent)]
    Blocked(#[from] Block),
    /// There is no such thing, or the caller may not know of it.
    #[error("there is no such {what}")]
    NotFound {
        /// The kind of thing, such as `command`.
        what: &'static str,
        /// The field of the input that named it, if one did.
        pointer: Option<&'static str>,
    },
    /// The input is understood and wrong.
    #[error("the input is not valid")]
    Invalid(Vec<FieldError>),
    /// It does not fit what is there already.
    #[error("{reason}")]
    Conflict {
        /// What stands against it.
        reason: &'static str,
        /// The field of the input that does not fit, if one is to blame.
        pointer: Option<&'static str>,
    },
    /// The vehicle is not connected, and this command does not wait.
    #[error(
        "the vehicle is not connected, and a command of this risk is kept for later only with \
         queue_if_offline"
    )]
    VehicleOffline,
    /// The command has ended, or the vehicle has answered it.
    #[error("the command cannot be called off: {reason}")]
    NotCancellable {
        /// What it has come to.
        reason: &'static str,
    },
    /// The key came with another request before.
    #[error("this idempotency key came with a different request less than 24 hours ago")]
    IdempotencyMismatch,
    /// The caller asks too much at once.
    #[error("too many requests; try again in {} s", retry_after.as_secs())]
    RateLimited {
        /// When the next one will be taken.
        retry_after: Duration,
    },
    /// The caller, or all callers together, have as many requests in progress as they may have.
    #[error("at most {limit} {what} are served at a time; try again in {} s", retry_after.as_secs())]
    TooManyInFlight {
        /// What is bounded, such as `lists of one user`.
        what: &'static str,
        /// How many are served at a time.
        limit: usize,
        /// After how long to try again.
        retry_after: Duration,
    },
    /// The queue of the vehicle has as many entries as it may have.
    #[error(
        "the queue of this vehicle is full: at most {limit} commands may wait or be under way for one \
         vehicle"
    )]
    QueueFull {
        /// The cap on the commands of one vehicle.
        limit: i64,
    },
    /// The caller has as many commands in the queue as one user may have.
    #[error(
        "{limit} of your commands wait or are under way, which is the most that one user may have; try \
         again when some of them have ended"
    )]
    TooManyWaiting {
        /// The cap on the commands of one user.
        limit: i64,
        /// After how long to try again.
        retry_after: Duration,
    },
    /// The database or its pool is away. Trying later may help.
    #[error("the service is not available")]
    Unavailable(#[source] StorageError),
    /// The fault is ours.
    #[error("internal error")]
    Internal(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Why it is not known who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum AuthFailure {
    /// There is no token.
    #[error("no access token was sent")]
    MissingToken,
    /// The user is unknown or the password is wrong; which of the two is nobody's business.
    #[error("the user name or the password is wrong")]
    InvalidCredentials,
    /// The token was good once.
    #[error("the token has expired")]
    TokenExpired,
    /// The token is not one of ours, or not of this kind.
    #[error("the token is not valid")]
    TokenInvalid,
    /// The login the token belongs to has ended.
    #[error("the session has ended")]
    SessionRevoked,
    /// The password is right, and the account is closed.
    #[error("the account is disabled")]
    AccountDisabled,
}

impl ServiceError {
    pub(crate) fn internal(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Internal(error.into())
    }
}

impl From<StorageError> for ServiceError {
    fn from(error: StorageError) -> Self {
        match error {
            StorageError::Unavailable(_) => Self::Unavailable(error),
            // Whoever asks was deleted, and this process does not know it yet.
            StorageError::Dangling { constraint }
                if constraint.ends_with("_user_id_fkey")
                    || constraint == "service_accounts_created_by_fkey" =>
            {
                AuthFailure::SessionRevoked.into()
            }
            StorageError::Duplicate { .. }
            | StorageError::Overlap { .. }
            | StorageError::Dangling { .. }
            | StorageError::CorruptRow { .. }
            | StorageError::Database(_)
            | StorageError::Migration(_) => Self::internal(error),
        }
    }
}
