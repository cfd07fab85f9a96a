use actix_web::{HttpResponse, get, web};
use chrono::{DateTime, Utc};
use serde_json::Value;
use sovd_domain::{CommandId, Response};
use uuid::Uuid;

use crate::{
    extract::{Authorized, ListQuery, PathId, list_query},
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

list_query! {
    /// The page of the chunks.
    ListResponses by ResponseKey {}
    "Maximum number of chunks: 1 to 100; default 50 with an offset or a cursor, otherwise all."
    "Number of chunks to skip: 0 or more; default 0."
}

impl ListResponses {
    fn selects_a_page(&self) -> bool {
        self.limit.is_some() || self.offset.is_some() || self.cursor.is_some()
    }
}

/// List the responses to a command
///
/// Returns the chunks received so far, in order: all of them, or a page if the request has a limit, an
/// offset or a cursor.
#[utoipa::path(
    operation_id = "list_responses",
    tag = "commands",
    params(("command_id" = Uuid, Path, description = "The command"), ListResponses),
    responses((status = 200, description = "The chunks, in order", body = Vec<ResponseBody>)),
)]
#[get("/{command_id}/responses")]
pub(crate) async fn responses(
    caller: Authorized<ReadOwnCommands>,
    state: web::Data<ApiState>,
    command_id: PathId<CommandId>,
    request: ListQuery<ListResponses>,
) -> Result<HttpResponse, Problem> {
    let ListQuery {
        query,
        page,
        paging,
    } = request;
    if query.selects_a_page() {
        let listing = state
            .commands
            .page_of_responses(&caller, command_id.0, page)
            .await?;
        return Ok(paging.respond::<_, ResponseBody>(listing));
    }
    let responses = state.commands.responses(&caller, command_id.0).await?;
    let bodies: Vec<ResponseBody> = responses.into_iter().map(ResponseBody::from).collect();
    Ok(HttpResponse::Ok().json(bodies))
}
