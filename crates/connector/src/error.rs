use thiserror::Error;

/// The failure of a command. States whether the vehicle may have executed it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ConnectorError {
    /// The vehicle rejected the command.
    #[error("the vehicle refused: {reason}")]
    Rejected {
        /// The reason that the vehicle or its protocol gives.
        reason: String,
    },
    /// The vehicle could not be reached; the command was not sent.
    #[error("the vehicle could not be reached: {reason}")]
    Unreachable {
        /// The cause.
        reason: String,
    },
    /// No response arrived in time.
    #[error("no answer in time ({})", sent_or_not(*sent))]
    Timeout {
        /// Whether the command may have reached the vehicle.
        sent: bool,
    },
    /// The connection was lost.
    #[error("the connection broke ({})", sent_or_not(*sent))]
    Broken {
        /// Whether the command may have reached the vehicle.
        sent: bool,
    },
    /// The connector does not support this command; it was not sent.
    #[error("this connector cannot send {command_name}")]
    Unsupported {
        /// The name of the command.
        command_name: String,
    },
}

impl ConnectorError {
    /// Returns whether the vehicle may have executed the command.
    pub fn may_have_acted(&self) -> bool {
        match self {
            Self::Rejected { .. } | Self::Unreachable { .. } | Self::Unsupported { .. } => false,
            Self::Timeout { sent } | Self::Broken { sent } => *sent,
        }
    }
}

fn sent_or_not(sent: bool) -> &'static str {
    if sent {
        "the command was sent"
    } else {
        "the command was not sent"
    }
}
