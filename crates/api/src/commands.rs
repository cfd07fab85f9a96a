//! `/api/v1/commands`

pub(crate) mod catalog;
pub(crate) mod events;
pub(crate) mod list;
pub(crate) mod responses;
pub(crate) mod submit;
pub(crate) mod websocket;

use actix_web::{get, post, web};
use chrono::{DateTime, Utc};
use serde_json::Value;
use sovd_domain::{Command, CommandId};
use uuid::Uuid;

use crate::{
    extract::{Authorized, PathId},
    permissions::{CancelCommands, ReadOwnCommands},
    problem::Problem,
    state::ApiState,
};

response_body! {
    /// A command and its state.
    #[schema(as = Command)]
    CommandBody from command: Command {
        /// Identifies the command.
        command_id: Uuid = command.command_id.0,
        /// The user who submitted it.
        user_id: Uuid = command.user_id.0,
        /// The target vehicle.
        vehicle_id: Uuid = command.vehicle_id.0,
        /// Its name in the catalog.
        #[schema(example = "ReadDTC")]
        command_name: String,
        /// Its parameters.
        #[schema(value_type = Object)]
        command_params: Value,
        /// `pending`, `in_progress`, `completed` or `failed`.
        #[schema(example = "completed")]
        status: &'static str = command.status.as_str(),
        /// The reason for a failure: `rejected`, `unreachable`, `timeout`, `expired`, `cancelled`,
        /// `outcome_unknown` or `internal`. Null unless failed.
        failure_kind: Option<&'static str> =
            command.failure_kind.map(sovd_domain::FailureKind::as_str),
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
        finding: Option<&'static str> = command.finding.map(sovd_domain::Finding::as_str),
        /// The path of the WebSocket with its events.
        #[schema(example = "/ws/responses/6f1f6f0e-5c0c-4e0e-9e1b-0d8c4f0f2b11")]
        stream_url: String = format!("/ws/responses/{}", command.command_id),
    }
}

/// Get a command
#[utoipa::path(
    operation_id = "get_command",
    tag = "commands",
    params(("command_id" = Uuid, Path, description = "The command")),
    responses((status = 200, description = "The command", body = CommandBody)),
)]
#[get("/{command_id}")]
pub(crate) async fn get_command(
    caller: Authorized<ReadOwnCommands>,
    state: web::Data<ApiState>,
    command_id: PathId<CommandId>,
) -> Result<web::Json<CommandBody>, Problem> {
    let command = state.commands.get(&caller, command_id.0).await?;
    Ok(web::Json(command.into()))
}

/// Cancel a command
///
/// Fails the command before the response is returned: with `cancelled` if it was never sent or only
/// reads, otherwise with `outcome_unknown`, because the vehicle may have executed it.
#[utoipa::path(
    operation_id = "cancel_command",
    tag = "commands",
    params(("command_id" = Uuid, Path, description = "The command")),
    responses(
        (status = 200, description = "The failed command", body = CommandBody),
        (status = 409, description = "`not_cancellable`: it has completed or failed, or the vehicle has responded"),
    ),
)]
#[post("/{command_id}/cancel")]
pub(crate) async fn cancel(
    caller: Authorized<CancelCommands>,
    state: web::Data<ApiState>,
    command_id: PathId<CommandId>,
) -> Result<web::Json<CommandBody>, Problem> {
    let command = state.commands.cancel(&caller, command_id.0).await?;
    Ok(web::Json(command.into()))
}
