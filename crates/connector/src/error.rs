use thiserror::Error;

/// Why a command got no answer, and whether the vehicle may have acted.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ConnectorError {
    /// The vehicle understood and said no.
    #[error("the vehicle refused: {reason}")]
    Rejected {
        /// In the vehicle's words, or those of its protocol.
        reason: String,
    },
    /// The command was certainly not sent.
    #[error("the vehicle could not be reached: {reason}")]
    Unreachable {
        /// What stood in the way.
        reason: String,
    },
    /// No answer came in time.
    #[error("no answer in time ({})", sent_or_not(*sent))]
    Timeout {
        /// Whether the command may have reached the vehicle.
        sent: bool,
    },
    /// The connection broke.
    #[error("the connection broke ({})", sent_or_not(*sent))]
    Broken {
        /// Whether the command may have reached the vehicle.
        sent: bool,
    },
    /// The connector does not speak this command; nothing was sent.
    #[error("this connector cannot send {command_name}")]
    Unsupported {
        /// The command's name.
        command_name: String,
    },
}

impl ConnectorError {
    /// Whether the vehicle may have acted on the command.
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
