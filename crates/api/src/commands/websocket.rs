use actix_web::{
    HttpRequest, HttpResponse, get,
    web::{Data, Payload},
};
use actix_ws::{CloseCode, CloseReason};
use futures_util::{Stream, StreamExt, stream};
use sovd_domain::{CommandId, Permission};
use sovd_services::commands::streams::Follower;

use crate::{
    open_streams::OpenStream,
    state::ApiState,
    websocket::{
        close::{policy, premature},
        handshake::{authorize, reject},
        socket::{Frame, serve},
        token::{access_token, query_value},
    },
};

/// Follow a command
///
/// Upgrades to a WebSocket; each text frame is one JSON event. A client receives every response once and
/// in order, whenever it connects, followed by one terminal event (`status` `completed`, or `error`) and
/// close code 1000. The token is sent in `Authorization`, in the subprotocol list as `bearer.<token>`
/// (next to `sovd.events.v1`), or as `?token=`. An invalid token, a command that the caller may not see or
/// an invalid `after` closes the socket with 1008 and the reason; too many open streams close it with 1013.
#[utoipa::path(
    operation_id = "watch_command",
    tag = "streams",
    params(
        ("command_id" = Uuid, Path, description = "The command"),
        ("after" = Option<i32>, Query, minimum = 0,
         description = "The number of the last response that the client has received"),
        ("token" = Option<String>, Query, description = "An access token, for older clients; ignored if empty"),
    ),
    responses(
        (status = 101, description = "The stream"),
        (status = 400, description = "`malformed_request`: not a WebSocket handshake, or several \
         `Authorization` headers or tokens"),
    ),
)]
#[get("/ws/responses/{command_id}")]
pub(crate) async fn watch(
    request: HttpRequest,
    payload: Payload,
    state: Data<ApiState>,
) -> Result<HttpResponse, actix_web::Error> {
    let token = access_token(&request)?;
    let opening = async {
        let (follower, slot) = follow(&request, &state, token).await?;
        Ok((frames(follower), slot))
    };
    serve(&request, payload, &state, opening).await
}

async fn follow(
    request: &HttpRequest,
    state: &ApiState,
    token: Option<String>,
) -> Result<(Follower, OpenStream), CloseReason> {
    // First, so that an unauthorized caller does not learn what else is wrong with the request.
    let caller = authorize(
        request,
        state,
        token.as_deref(),
        Permission::ReadOwnCommands,
    )
    .await?;
    let command_id: CommandId = request
        .match_info()
        .query("command_id")
        .parse()
        .map_err(|_| policy("command_id is not a UUID"))?;
    let accepted = "an integer from 0 to 2147483647";
    let after: Option<u32> = query_value(request, "after", accepted)?;
    let after = i32::try_from(after.unwrap_or(0))
        .map_err(|_| policy(&format!("after must be {accepted}")))?;
    let slot = state.open_streams.open(caller.user.user_id)?;
    let following = state
        .streams
        .follow(&state.commands, &caller, command_id, after);
    match following.await {
        Ok(follower) => Ok((follower, slot)),
        Err(error) => Err(reject(request, state, error)),
    }
}

/// Returns the frames of the events and the close frame. If the events end without a terminal one, the
/// command was deleted or the credential has ended.
fn frames(follower: Follower) -> impl Stream<Item = Frame> {
    let credential = follower.credential();
    let premature_close = async move {
        let otherwise = "the command was deleted or cannot be read";
        Frame::Close(premature(&credential, otherwise))
    };
    let events = follower.into_stream().flat_map(|event| {
        let end = event
            .is_terminal()
            .then(|| Frame::Close(CloseCode::Normal.into()));
        stream::iter([Some(Frame::of(&event)), end].into_iter().flatten())
    });
    events.chain(stream::once(premature_close))
}
