use actix_web::{
    HttpRequest, HttpResponse, get,
    web::{Data, Payload},
};
use actix_ws::{CloseCode, CloseReason};
use futures_util::{Stream, StreamExt, stream};
use sovd_domain::{CommandId, Permission};
use sovd_services::{
    AuthFailure, Caller, ServiceError, refusals::RefusedRequest, streams::Follower,
};

use super::{
    socket::{Frame, serve},
    token::{access_token, query_value},
};
use crate::{
    extract::origin_of,
    open_streams::{OpenStream, TooManyStreams},
    problem::{Problem, ProblemBody},
    request::{audited_path, is_refusal},
    state::ApiState,
};

/// Watch a command
///
/// Upgrades to a WebSocket; each text frame is one event (JSON). Whenever a client connects, it
/// receives every response once and in order, then one terminal event (`status` `completed`, or
/// `error`), then close code 1000. The token comes in `Authorization`, in the sub-protocol list
/// as `bearer.<token>` (offer `sovd.events.v1` beside it), or as `?token=`. A bad token, a command
/// that is not the caller's or a bad `after` closes with 1008 and the reason; too many open streams
/// close with 1013.
#[utoipa::path(
    operation_id = "watch_command",
    tag = "streams",
    security(("bearer" = [])),
    params(
        ("command_id" = Uuid, Path, description = "The command"),
        ("after" = Option<i32>, Query, minimum = 0,
         description = "The number of the last response that the client has"),
        ("token" = Option<String>, Query, description = "An access token, for older clients; empty, it counts as none"),
    ),
    responses(
        (status = 101, description = "The stream"),
        (status = 400, description = "`malformed_request`: not a WebSocket handshake, or more than one \
         `Authorization` header or `token`",
         body = ProblemBody, content_type = "application/problem+json"),
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
        let (follower, place) = follow(&request, &state, token).await?;
        Ok((frames(follower), place))
    };
    serve(&request, payload, &state, opening).await
}

async fn follow(
    request: &HttpRequest,
    state: &ApiState,
    token: Option<String>,
) -> Result<(Follower, OpenStream), CloseReason> {
    // First, so that nobody learns what is wrong with a request that they may not send.
    let caller = authorize(request, state, token, Permission::ReadOwnCommands).await?;
    let command_id: CommandId = request
        .match_info()
        .query("command_id")
        .parse()
        .map_err(|_| policy("command_id is not a UUID"))?;
    let accepted = "an integer from 0 to 2147483647";
    let after: Option<u32> = query_value(request, "after", accepted)?;
    let after = i32::try_from(after.unwrap_or(0))
        .map_err(|_| policy(&format!("after must be {accepted}")))?;
    let place = state.open_streams.take(caller.user.user_id)?;
    let following = state
        .streams
        .follow(&state.commands, &caller, command_id, after);
    match following.await {
        Ok(follower) => Ok((follower, place)),
        Err(error) => Err(turn_away(request, state, Some(&caller), error)),
    }
}

/// The events, and the goodbye after the last one. Without a last one the command was deleted or the
/// session has ended.
fn frames(follower: Follower) -> impl Stream<Item = Frame> {
    let credential = follower.credential();
    let goodbye = async move {
        Frame::Close(if credential.has_ended() {
            session_revoked()
        } else {
            policy("the command was deleted or cannot be read")
        })
    };
    let events = follower.into_stream().flat_map(|event| {
        let end = event
            .is_terminal()
            .then(|| Frame::Close(CloseCode::Normal.into()));
        stream::iter([Some(Frame::of(&event)), end].into_iter().flatten())
    });
    events.chain(stream::once(goodbye))
}

/// Whoever asks, if they may.
pub(super) async fn authorize(
    request: &HttpRequest,
    state: &ApiState,
    token: Option<String>,
    permission: Permission,
) -> Result<Caller, CloseReason> {
    let mut caller = match authenticate(request, state, token).await {
        Ok(caller) => caller,
        Err(error) => return Err(turn_away(request, state, None, error)),
    };
    let (method, path) = (request.method().as_str(), request.path());
    let admitting = state.agents.admit(&mut caller, permission, method, path);
    match admitting.await {
        Ok(()) => Ok(caller),
        Err(error) => Err(turn_away(request, state, Some(&caller), error)),
    }
}

async fn authenticate(
    request: &HttpRequest,
    state: &ApiState,
    token: Option<String>,
) -> Result<Caller, ServiceError> {
    let token = token.ok_or(AuthFailure::MissingToken)?;
    state.auth.authenticate(&token, origin_of(request)).await
}

/// The goodbye to whoever gets no stream. Those who were refused for who they are are written down: the
/// answer to the handshake was another one.
pub(super) fn turn_away(
    request: &HttpRequest,
    state: &ApiState,
    caller: Option<&Caller>,
    error: ServiceError,
) -> CloseReason {
    let (close_code, problem) = (close_code(&error), Problem::from(error));
    if is_refusal(problem.code) {
        let refused = RefusedRequest {
            user_id: caller.map(|caller| caller.user.user_id),
            origin: origin_of(request),
            method: request.method().as_str(),
            path: &audited_path(request),
            code: problem.code.as_str(),
        };
        state.refusals.note(refused);
    }
    reason(close_code, &problem)
}

impl From<TooManyStreams> for CloseReason {
    fn from(refusal: TooManyStreams) -> Self {
        let problem = Problem::from(refusal);
        let reason = format!("{}: {}", problem.code.as_str(), problem.detail);
        (CloseCode::Again, reason).into()
    }
}

fn close_code(error: &ServiceError) -> CloseCode {
    match error {
        ServiceError::Unavailable(_)
        | ServiceError::RateLimited { .. }
        | ServiceError::TooManyInFlight { .. } => CloseCode::Again,
        ServiceError::Internal(_) => CloseCode::Error,
        ServiceError::NotAuthenticated(_)
        | ServiceError::Forbidden
        | ServiceError::Blocked(_)
        | ServiceError::NotFound { .. }
        | ServiceError::Invalid(_)
        | ServiceError::Conflict { .. }
        | ServiceError::VehicleOffline
        | ServiceError::NotCancellable { .. }
        | ServiceError::IdempotencyMismatch
        | ServiceError::QueueFull { .. }
        | ServiceError::TooManyWaiting { .. } => CloseCode::Policy,
    }
}

fn reason(code: CloseCode, problem: &Problem) -> CloseReason {
    if let Some(cause) = &problem.cause {
        tracing::error!(%cause, "a stream cannot be opened");
    }
    let text = format!("{}: {}", problem.code.as_str(), problem.detail);
    (code, text).into()
}

/// The goodbye to whoever may not go on.
pub(super) fn session_revoked() -> CloseReason {
    let error = ServiceError::from(AuthFailure::SessionRevoked);
    reason(close_code(&error), &error.into())
}

pub(super) fn policy(reason: &str) -> CloseReason {
    (CloseCode::Policy, reason).into()
}
