use sovd_connector::ConnectorError;
use sovd_domain::FailureKind;
use thiserror::Error;

/// Number of times a task may reach the vehicle.
pub(super) const MAX_SENDS: i32 = 3;

/// Why there is no complete response.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(super) enum SendFailure {
    /// The connector failed.
    #[error(transparent)]
    Connector(#[from] ConnectorError),
    /// The stream ended too early.
    #[error("the response ended before its final chunk")]
    Truncated,
    /// The process that sent the command died.
    #[error("the process that sent the command died before the response arrived")]
    SenderDied,
    /// The vehicle responded, and the database rejects the response.
    #[error("the vehicle responded, but the response could not be stored")]
    ResponseNotStored,
}

/// What follows from a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Resolution {
    /// The task ends as failed.
    Fail(FailureKind),
    /// The task may be sent again, after a delay and until it expires.
    Retry,
}

impl SendFailure {
    /// Interprets `error` after `chunks` chunks: a command that was responded to was sent, whatever the
    /// connector says.
    pub(super) fn after(chunks: usize, error: ConnectorError) -> Self {
        let failure = Self::Connector(error);
        if chunks > 0 && failure.is_unsent() {
            return Self::Connector(ConnectorError::Broken { sent: true });
        }
        failure
    }

    /// Returns whether the task certainly did not reach the vehicle.
    pub(super) fn is_unsent(&self) -> bool {
        matches!(
            self,
            Self::Connector(
                ConnectorError::Unreachable { .. }
                    | ConnectorError::Timeout { sent: false }
                    | ConnectorError::Broken { sent: false }
            )
        )
    }

    /// Decides whether a task that was sent `send_count` times, this time included, is sent again or fails,
    /// as listed in `docs/command-outcomes.md`.
    pub(super) fn resolution(&self, is_idempotent: bool, send_count: i32) -> Resolution {
        let certain = match self {
            Self::Connector(ConnectorError::Rejected { .. }) => Some(FailureKind::Rejected),
            Self::Connector(ConnectorError::Unsupported { .. }) => Some(FailureKind::Unreachable),
            Self::ResponseNotStored if is_idempotent => Some(FailureKind::Internal),
            Self::Connector(_) | Self::Truncated | Self::SenderDied | Self::ResponseNotStored => {
                None
            }
        };
        if let Some(kind) = certain {
            return Resolution::Fail(kind);
        }
        if self.is_unsent() || (is_idempotent && send_count < MAX_SENDS) {
            return Resolution::Retry;
        }
        match self {
            Self::Connector(ConnectorError::Timeout { .. }) if is_idempotent => {
                Resolution::Fail(FailureKind::Timeout)
            }
            _ => Resolution::Fail(FailureKind::OutcomeUnknown),
        }
    }
}
