use actix_web::{
    HttpRequest, HttpResponse, get,
    web::{Data, Payload},
};
use actix_ws::CloseReason;
use futures_util::{Stream, StreamExt, stream};
use sovd_domain::{Permission, VehicleId};
use sovd_services::fleet::events::FleetWatch;

use crate::{
    open_streams::OpenStream,
    problem::ProblemBody,
    state::ApiState,
    websocket::{
        close::{policy, session_revoked},
        handshake::{authorize, reject},
        socket::{Frame, serve},
        token::{access_token, query_value},
    },
};

/// Watch the fleet
///
/// Upgrades to a WebSocket; each text frame is the newest state of something (JSON): `command` when a
/// command that the caller may see comes further, `vehicle` when a link changes, `resync` when
/// something was missed and lists have to be fetched again. The token comes as for the stream of a
/// command. When it expires, the server closes with 1008: connect again with a new one. An agent that is
/// suspended from reading commands is shown none; a stream that was open before goes on until its key ends.
#[utoipa::path(
    operation_id = "watch_fleet",
    tag = "streams",
    security(("bearer" = [])),
    params(
        ("vehicle_id" = Option<Uuid>, Query, description = "Only what is about this vehicle"),
        ("token" = Option<String>, Query, description = "An access token, for older clients; empty, it counts as none"),
    ),
    responses(
        (status = 101, description = "The stream"),
        (status = 400, description = "`malformed_request`: not a WebSocket handshake, or more than one \
         `Authorization` header or `token`",
         body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
#[get("/ws/events")]
pub(crate) async fn watch_fleet(
    request: HttpRequest,
    payload: Payload,
    state: Data<ApiState>,
) -> Result<HttpResponse, actix_web::Error> {
    let token = access_token(&request)?;
    let opening = async {
        let (watch, place) = open(&request, &state, token).await?;
        Ok((frames(watch), place))
    };
    serve(&request, payload, &state, opening).await
}

async fn open(
    request: &HttpRequest,
    state: &ApiState,
    token: Option<String>,
) -> Result<(FleetWatch, OpenStream), CloseReason> {
    // First, so that an unauthorized caller does not learn what else is wrong with the request.
    let caller = authorize(request, state, token.as_deref(), Permission::ReadVehicles).await?;
    let vehicle_id: Option<VehicleId> = query_value(request, "vehicle_id", "a UUID")?;
    let place = state.open_streams.open(caller.user.user_id)?;
    match state.fleet.watch(&caller, vehicle_id).await {
        Ok(watch) => Ok((watch, place)),
        Err(error) => Err(reject(request, state, error)),
    }
}

/// The news, and the goodbye when the token is worth nothing any more or the session has ended.
fn frames(watch: FleetWatch) -> impl Stream<Item = Frame> {
    let credential = watch.credential();
    let news = stream::unfold(watch, async |mut watch| {
        let news = watch.next().await?;
        Some((Frame::of(news.as_ref()), watch))
    });
    let goodbye = async move {
        Frame::Close(if credential.has_ended() {
            session_revoked()
        } else {
            policy("token_expired: the token has expired")
        })
    };
    news.chain(stream::once(goodbye))
}
