use actix_web::{HttpResponse, get, web::Data};
use serde::Deserialize;
use sovd_domain::{CommandId, FieldError};
use utoipa::IntoParams;

use crate::{
    extract::{Authorized, LastEventId, PathId, QueryParams},
    permissions::ReadOwnCommands,
    problem::{Code, Problem},
    sse,
    state::ApiState,
};

/// The start of a stream.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct EventsQuery {
    /// The number of the last response that the client has received.
    #[param(minimum = 0)]
    after: Option<i32>,
}

/// Follow a command over HTTP
///
/// Returns the events of the WebSocket stream as Server-Sent Events; the `data` of each is one JSON event.
/// A client receives every response once and in order, whenever it connects, followed by one terminal
/// event (`status` `completed`, or `error`). Then the stream ends. The `id` of a response is its number; a
/// client that reconnects with it in `Last-Event-ID` receives the following ones. A stream that ends
/// without a terminal event indicates that the server is stopping; reconnect. Close an `EventSource` after
/// the terminal event, because it reconnects otherwise.
#[utoipa::path(
    operation_id = "stream_command_events",
    tag = "streams",
    params(
        ("command_id" = Uuid, Path, description = "The command"),
        EventsQuery,
        ("Last-Event-ID" = Option<i32>, Header, minimum = 0,
         description = "The same as `after`, over which it takes precedence"),
    ),
    responses(
        (status = 200, description = "The stream", body = String,
         content_type = "text/event-stream"),
        (status = 400, description = "`malformed_request`: the id is not a UUID, `Last-Event-ID` \
                                      is not a non-negative integer, or a parameter is unknown or \
                                      malformed"),
        (status = 429, description = "`rate_limited`: too many requests or open streams; \
                                      `Retry-After` contains the delay in seconds"),
    ),
)]
#[get("/{command_id}/events")]
pub(crate) async fn events(
    caller: Authorized<ReadOwnCommands>,
    state: Data<ApiState>,
    command_id: PathId<CommandId>,
    query: QueryParams<EventsQuery>,
    last_event_id: LastEventId,
) -> Result<HttpResponse, Problem> {
    let after = start(query.0.after)?;
    let after = last_event_id.0.unwrap_or(after);
    let slot = state.open_streams.open(caller.user.user_id)?;
    let follower = state
        .streams
        .follow(&state.commands, &caller, command_id.0, after)
        .await?;
    Ok(sse::respond(&state, follower, slot))
}

fn start(after: Option<i32>) -> Result<i32, Problem> {
    let after = after.unwrap_or(0);
    if after < 0 {
        let error = FieldError::new("/after", "must be a number from 0 on");
        return Err(Problem::with_fields(Code::ValidationFailed, vec![error]));
    }
    Ok(after)
}
