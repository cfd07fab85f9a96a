use sovd_connector::ConnectorError;
use sovd_domain::FailureKind;
use thiserror::Error;

/// How often a task may reach the vehicle before it is given up.
pub(super) const MAX_SENDS: i32 = 3;

/// What happened instead of a complete answer.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(super) enum Setback {
    /// The connector says what.
    #[error(transparent)]
    Connector(#[from] ConnectorError),
    /// The stream ended too early.
    #[error("the answer ended before its final part")]
    CutShort,
    /// Whoever sent it died.
    #[error("the process that sent it died before the answer came")]
    SenderDied,
    /// The vehicle answered, and the database does not take the answer.
    #[error("the vehicle answered, and its answer could not be stored")]
    NotStorable,
}

/// What becomes of a task after a setback.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It failed.
    End(FailureKind),
    /// It may be sent again, after a pause and until it expires.
    TryAgain,
}

impl Setback {
    /// What `error` means after so many chunks: what was answered was sent, whatever the connector
    /// says now.
    pub(super) fn after(chunks: usize, error: ConnectorError) -> Self {
        let setback = Self::Connector(error);
        if chunks > 0 && setback.is_unsent() {
            return Self::Connector(ConnectorError::Broken { sent: true });
        }
        setback
    }

    /// Whether the task certainly did not reach the vehicle.
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

    /// The row of the table in the crate's documentation, for a task that has been sent `sends`
    /// times, this one included.
    pub(super) fn verdict(&self, is_idempotent: bool, sends: i32) -> Verdict {
        let certain = match self {
            Self::Connector(ConnectorError::Rejected { .. }) => Some(FailureKind::Rejected),
            Self::Connector(ConnectorError::Unsupported { .. }) => Some(FailureKind::Unreachable),
            Self::NotStorable if is_idempotent => Some(FailureKind::Internal),
            Self::Connector(_) | Self::CutShort | Self::SenderDied | Self::NotStorable => None,
        };
        if let Some(kind) = certain {
            return Verdict::End(kind);
        }
        if self.is_unsent() || (is_idempotent && sends < MAX_SENDS) {
            return Verdict::TryAgain;
        }
        match self {
            Self::Connector(ConnectorError::Timeout { .. }) if is_idempotent => {
                Verdict::End(FailureKind::Timeout)
            }
            _ => Verdict::End(FailureKind::OutcomeUnknown),
        }
    }
}
