//! Commands, their states and their outcomes.

pub(crate) mod catalog;
pub mod findings;
pub(crate) mod idempotency;
pub(crate) mod responses;
pub(crate) mod scope;
pub(crate) mod stream_events;

use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::{
    commands::findings::Finding,
    ids::{CommandId, UserId, VehicleId},
    text_enum::text_enum,
};

/// An SOVD command (ISO 17978) for one vehicle.
#[derive(Debug, Clone, PartialEq)]
pub struct Command {
    /// Identifies the command.
    pub command_id: CommandId,
    /// The user who submitted it.
    pub user_id: UserId,
    /// The target vehicle.
    pub vehicle_id: VehicleId,
    /// Its name in the catalog.
    pub command_name: String,
    /// A JSON object that matched the catalog's schema when the command was submitted.
    pub command_params: Value,
    /// Its state.
    pub status: CommandStatus,
    /// Set exactly when the status is [`CommandStatus::Failed`].
    pub failure_kind: Option<FailureKind>,
    /// The human-readable reason for the failure.
    pub error_message: Option<String>,
    /// The time of its acceptance.
    pub submitted_at: DateTime<Utc>,
    /// The time at which it was first handed to a connector.
    pub started_at: Option<DateTime<Utc>>,
    /// The time at which it completed or failed.
    pub completed_at: Option<DateTime<Utc>>,
    /// The time after which it is no longer sent.
    pub expires_at: DateTime<Utc>,
    /// The finding of the probe that followed a [`FailureKind::OutcomeUnknown`], if there was one.
    pub finding: Option<Finding>,
}

impl Command {
    /// Returns the command in the state in which it was accepted.
    #[must_use]
    pub fn as_submitted(self) -> Self {
        Self {
            status: CommandStatus::Pending,
            failure_kind: None,
            error_message: None,
            started_at: None,
            completed_at: None,
            finding: None,
            ..self
        }
    }
}

text_enum! {
    /// The state of a command. A command only moves down this list.
    CommandStatus, "command status" {
        /// Accepted, and not sent.
        Pending = "pending",
        /// Handed to a connector.
        InProgress = "in_progress",
        /// The vehicle's response is complete.
        Completed = "completed",
        /// Ended without a complete response, for the reason in [`FailureKind`].
        Failed = "failed",
    }
}

impl CommandStatus {
    /// Returns whether the state is final.
    pub fn is_terminal(self) -> bool {
        match self {
            Self::Pending | Self::InProgress => false,
            Self::Completed | Self::Failed => true,
        }
    }
}

text_enum! {
    /// The reason for which a command failed.
    FailureKind, "failure kind" {
        /// The vehicle rejected it.
        Rejected = "rejected",
        /// It was not sent because the vehicle could not be reached.
        Unreachable = "unreachable",
        /// It was sent and not answered in time. It is idempotent, so repeating it is safe.
        Timeout = "timeout",
        /// It expired before it was sent.
        Expired = "expired",
        /// It was cancelled, and either it was never sent or it only reads.
        Cancelled = "cancelled",
        /// It was sent and the response was lost, so the vehicle may have executed it.
        OutcomeUnknown = "outcome_unknown",
        /// The server failed.
        Internal = "internal",
    }
}
