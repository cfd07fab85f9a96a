//! Commands, their states and how they end.

pub mod catalog;
pub mod findings;
pub mod idempotency;
pub mod responses;
pub mod stream_events;

use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::{
    commands::findings::Finding,
    ids::{CommandId, UserId, VehicleId},
    text_enum::text_enum,
};

/// One SOVD command (ISO 17978) to one vehicle.
#[derive(Debug, Clone, PartialEq)]
pub struct Command {
    /// Identifies the command.
    pub command_id: CommandId,
    /// Who sent it.
    pub user_id: UserId,
    /// Where it goes.
    pub vehicle_id: VehicleId,
    /// Its name in the catalogue.
    pub command_name: String,
    /// A JSON object that met the catalogue's schema when it was submitted.
    pub command_params: Value,
    /// How far it has come.
    pub status: CommandStatus,
    /// Set exactly when the status is [`CommandStatus::Failed`].
    pub failure_kind: Option<FailureKind>,
    /// Why it failed, for people.
    pub error_message: Option<String>,
    /// When it was accepted.
    pub submitted_at: DateTime<Utc>,
    /// When it was first handed to a connector.
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub completed_at: Option<DateTime<Utc>>,
    /// The moment after which it is not sent any more.
    pub expires_at: DateTime<Utc>,
    /// What looking again showed, after an [`FailureKind::OutcomeUnknown`] that can be looked into.
    pub finding: Option<Finding>,
}

impl Command {
    /// The command as it was when it was accepted.
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
    /// How far a command has come. It only ever moves down this list.
    CommandStatus, "command status" {
        /// Accepted, and certainly not sent.
        Pending = "pending",
        /// Handed to a connector.
        InProgress = "in_progress",
        /// The vehicle's answer is complete.
        Completed = "completed",
        /// It ended otherwise; [`FailureKind`] says how.
        Failed = "failed",
    }
}

impl CommandStatus {
    /// Whether nothing more will happen.
    pub fn is_terminal(self) -> bool {
        match self {
            Self::Pending | Self::InProgress => false,
            Self::Completed | Self::Failed => true,
        }
    }
}

text_enum! {
    /// Why a command failed, and what that says about the vehicle.
    FailureKind, "failure kind" {
        /// The vehicle said no.
        Rejected = "rejected",
        /// It was certainly not sent, because the way to the vehicle does not carry it.
        Unreachable = "unreachable",
        /// It was sent and not answered in time; repeating it is harmless.
        Timeout = "timeout",
        /// It waited too long and was never sent.
        Expired = "expired",
        /// It was called off before it was sent, or it changes nothing.
        Cancelled = "cancelled",
        /// It may have acted: it was sent, and the answer was lost.
        OutcomeUnknown = "outcome_unknown",
        /// The fault is ours.
        Internal = "internal",
    }
}
