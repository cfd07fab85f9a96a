use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    commands::{Command, CommandStatus, FailureKind, responses::Response},
    ids::{CommandId, ResponseId},
};

/// An event of a command's stream. Its JSON form is the contract of the WebSocket, of Server-Sent
/// Events and of the event bus.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum StreamEvent {
    /// A chunk of the response.
    Response {
        /// The command it answers.
        command_id: CommandId,
        /// Identifies the chunk.
        response_id: ResponseId,
        /// The payload sent by the vehicle.
        response: Value,
        /// Its number within the response, counted from 1.
        sequence_number: i32,
        /// Whether it is the last chunk.
        is_final: bool,
        /// The time of its arrival.
        received_at: DateTime<Utc>,
    },
    /// The command is in progress or completed.
    Status {
        /// The command.
        command_id: CommandId,
        /// `in_progress` or `completed`.
        status: CommandStatus,
        /// The time of completion.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        completed_at: Option<DateTime<Utc>>,
    },
    /// The command failed.
    Error {
        /// The command.
        command_id: CommandId,
        /// Always `failed`.
        status: CommandStatus,
        /// The reason for the failure.
        failure_kind: FailureKind,
        /// The human-readable reason.
        error_message: String,
        /// The time of the failure.
        completed_at: DateTime<Utc>,
    },
}

impl StreamEvent {
    /// Returns the event for the state of `command`, or `None` while it is pending.
    pub fn of_state(command: &Command) -> Option<Self> {
        let command_id = command.command_id;
        match command.status {
            CommandStatus::Pending => None,
            CommandStatus::InProgress | CommandStatus::Completed => Some(Self::Status {
                command_id,
                status: command.status,
                completed_at: command.completed_at,
            }),
            CommandStatus::Failed => Some(Self::Error {
                command_id,
                status: CommandStatus::Failed,
                failure_kind: command.failure_kind.unwrap_or(FailureKind::Internal),
                error_message: command.error_message.clone().unwrap_or_default(),
                completed_at: command.completed_at.unwrap_or(command.submitted_at),
            }),
        }
    }

    /// Returns the command that the event belongs to.
    pub fn command_id(&self) -> CommandId {
        match self {
            Self::Response { command_id, .. }
            | Self::Status { command_id, .. }
            | Self::Error { command_id, .. } => *command_id,
        }
    }

    /// Returns whether it is the last event of its stream.
    pub fn is_terminal(&self) -> bool {
        match self {
            Self::Response { .. } => false,
            Self::Status { status, .. } | Self::Error { status, .. } => status.is_terminal(),
        }
    }
}

impl From<Response> for StreamEvent {
    fn from(response: Response) -> Self {
        Self::Response {
            command_id: response.command_id,
            response_id: response.response_id,
            response: response.response_payload,
            sequence_number: response.sequence_number,
            is_final: response.is_final,
            received_at: response.received_at,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use uuid::Uuid;

    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn serializes_as_documented() {
        let id = CommandId(Uuid::from_u128(1));
        let cases = [
            (
                StreamEvent::Status {
                    command_id: id,
                    status: CommandStatus::InProgress,
                    completed_at: None,
                },
                json!({"event": "status", "command_id": id, "status": "in_progress"}),
            ),
            (
                StreamEvent::Error {
                    command_id: id,
                    status: CommandStatus::Failed,
                    failure_kind: FailureKind::Timeout,
                    error_message: "no answer".into(),
                    completed_at: at("2026-01-02T03:04:05Z"),
                },
                json!({
                    "event": "error", "command_id": id, "status": "failed",
                    "failure_kind": "timeout", "error_message": "no answer",
                    "completed_at": "2026-01-02T03:04:05Z",
                }),
            ),
            (
                StreamEvent::Response {
                    command_id: id,
                    response_id: ResponseId(Uuid::from_u128(2)),
                    response: json!({"dtcs": []}),
                    sequence_number: 1,
                    is_final: false,
                    received_at: at("2026-01-02T03:04:05Z"),
                },
                json!({
                    "event": "response", "command_id": id, "response_id": Uuid::from_u128(2),
                    "response": {"dtcs": []}, "sequence_number": 1, "is_final": false,
                    "received_at": "2026-01-02T03:04:05Z",
                }),
            ),
        ];
        for (event, expected) in cases {
            assert_eq!(serde_json::to_value(&event).unwrap(), expected);
            assert_eq!(
                serde_json::from_value::<StreamEvent>(expected).unwrap(),
                event
            );
        }
    }
}
