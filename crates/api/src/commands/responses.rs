use actix_web::{get, web};
use chrono::{DateTime, Utc};
use serde_json::Value;
use sovd_domain::{CommandId, Response};
use uuid::Uuid;

use crate::{
    extract::{Authorized, PathId},
    permissions::ReadOwnCommands,
    problem::Problem,
    state::ApiState,
};

response_body! {
    /// A chunk of a vehicle's response.
    #[schema(as = Response)]
    ResponseBody from response: Response {
        /// Identifies the chunk.
        response_id: Uuid = response.response_id.0,
        /// The command it answers.
        command_id: Uuid = response.command_id.0,
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
}

/// List the responses to a command
///
/// Returns the chunks received so far, in order.
#[utoipa::path(
    operation_id = "list_responses",
    tag = "commands",
    params(("command_id" = Uuid, Path, description = "The command")),
    responses((status = 200, description = "The chunks, in order", body = Vec<ResponseBody>)),
)]
#[get("/{command_id}/responses")]
pub(crate) async fn responses(
    caller: Authorized<ReadOwnCommands>,
    state: web::Data<ApiState>,
    command_id: PathId<CommandId>,
) -> Result<web::Json<Vec<ResponseBody>>, Problem> {
    let responses = state.commands.responses(&caller, command_id.0).await?;
    Ok(web::Json(
        responses.into_iter().map(ResponseBody::from).collect(),
    ))
}
