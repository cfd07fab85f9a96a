//! `/api/v1/commands`

pub(crate) mod cancel;
pub(crate) mod catalog;
pub(crate) mod events;
pub(crate) mod get;
pub(crate) mod list;
pub(crate) mod responses;
pub(crate) mod submit;
pub(crate) mod websocket;

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use sovd_domain::Command;
use utoipa::ToSchema;
use uuid::Uuid;

/// A command and its state.
#[derive(Serialize, ToSchema)]
#[schema(as = Command)]
pub(crate) struct CommandBody {
    /// Identifies the command.
    command_id: Uuid,
    /// The user who submitted it.
    user_id: Uuid,
    /// The target vehicle.
    vehicle_id: Uuid,
    /// Its name in the catalog.
    #[schema(example = "ReadDTC")]
    command_name: String,
    /// Its parameters.
    #[schema(value_type = Object)]
    command_params: Value,
    /// `pending`, `in_progress`, `completed` or `failed`.
    #[schema(example = "completed")]
    status: &'static str,
    /// The reason for a failure: `rejected`, `unreachable`, `timeout`, `expired`, `cancelled`,
    /// `outcome_unknown` or `internal`. Null unless failed.
    failure_kind: Option<&'static str>,
    /// The human-readable reason for the failure.
    error_message: Option<String>,
    /// The time of its acceptance.
    submitted_at: DateTime<Utc>,
    /// The time at which it was first handed to a connector.
    started_at: Option<DateTime<Utc>>,
    /// The time at which it completed or failed.
    completed_at: Option<DateTime<Utc>>,
    /// The time after which it is no longer sent.
    expires_at: DateTime<Utc>,
    /// The finding of the probe that reads the faults again after a clear with an unknown outcome:
    /// `cleared`, `not_cleared` or `cannot_tell`.
    #[schema(example = json!(null))]
    finding: Option<&'static str>,
    /// The path of the WebSocket with its events.
    #[schema(example = "/ws/responses/6f1f6f0e-5c0c-4e0e-9e1b-0d8c4f0f2b11")]
    stream_url: String,
}

impl From<Command> for CommandBody {
    fn from(command: Command) -> Self {
        Self {
            stream_url: format!("/ws/responses/{}", command.command_id),
            command_id: command.command_id.0,
            user_id: command.user_id.0,
            vehicle_id: command.vehicle_id.0,
            command_name: command.command_name,
            command_params: command.command_params,
            status: command.status.as_str(),
            failure_kind: command.failure_kind.map(sovd_domain::FailureKind::as_str),
            error_message: command.error_message,
            submitted_at: command.submitted_at,
            started_at: command.started_at,
            completed_at: command.completed_at,
            expires_at: command.expires_at,
            finding: command.finding.map(sovd_domain::Finding::as_str),
        }
    }
}
