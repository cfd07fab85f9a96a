use actix_web::{
    get,
    web::{Data, Json},
};
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use sovd_domain::{CommandId, Response};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    extract::{Authorized, PathId},
    permissions::ReadOwnCommands,
    problem::Problem,
    state::ApiState,
};

/// A chunk of a vehicle's response.
#[derive(Serialize, ToSchema)]
#[schema(as = Response)]
pub(crate) struct ResponseBody {
    /// Identifies the chunk.
    response_id: Uuid,
    /// The command it answers.
    command_id: Uuid,
    /// The payload sent by the vehicle.
    response_payload: Value,
    /// Its number within the response, counted from 1.
    #[schema(example = 1)]
    sequence_number: i32,
    /// Whether it is the last chunk.
    is_final: bool,
    /// The time of its arrival.
    received_at: DateTime<Utc>,
}

/// List the responses to a command
///
/// Returns the chunks received so far, in order.
#[utoipa::path(
    operation_id = "list_responses",
    tag = "commands",
    security(("bearer" = [])),
    params(("command_id" = Uuid, Path, description = "The command")),
    responses(
        (status = 200, description = "The chunks, in order", body = Vec<ResponseBody>),
    ),
)]
#[get("/{command_id}/responses")]
pub(crate) async fn responses(
    authorized: Authorized<ReadOwnCommands>,
    state: Data<ApiState>,
    command_id: PathId<CommandId>,
) -> Result<Json<Vec<ResponseBody>>, Problem> {
    let responses = state
        .commands
        .responses(&authorized.caller, command_id.0)
        .await?;
    Ok(Json(
        responses.into_iter().map(ResponseBody::from).collect(),
    ))
}

impl From<Response> for ResponseBody {
    fn from(response: Response) -> Self {
        Self {
            response_id: response.response_id.0,
            command_id: response.command_id.0,
            response_payload: response.response_payload,
            sequence_number: response.sequence_number,
            is_final: response.is_final,
            received_at: response.received_at,
        }
    }
}
