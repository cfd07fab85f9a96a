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
    state::ApiState,
    websocket::{
        close::premature,
        handshake::{authorize, reject},
        socket::{Frame, serve},
        token::{access_token, query_value},
    },
};

/// Watch the fleet
///
/// Upgrades to a WebSocket. Each text frame is a JSON object with the latest state: `command` when the
/// status of a command visible to the caller changes, `vehicle` when a connection changes, `resync` when
/// events were lost and lists must be fetched again. The token is sent as for the stream of a command.
/// When it expires, the server closes with 1008; connect again with a new one. An agent that is suspended
/// from reading commands receives no `command` events, except on streams that were open before.
#[utoipa::path(
    operation_id = "watch_fleet",
    tag = "streams",
    params(
        ("vehicle_id" = Option<Uuid>, Query, description = "Only events of this vehicle"),
        ("token" = Option<String>, Query, description = "An access token, for clients that cannot set headers; ignored if empty"),
    ),
    responses(
        (status = 101, description = "The stream"),
        (status = 400, description = "`malformed_request`: not a WebSocket handshake, or more than one \
         `Authorization` header or `token`"),
    ),
)]
#[get("/ws/events")]
pub(crate) async fn watch_fleet(
    request: HttpRequest,
    payload: Payload,
    state: Data<ApiState>,
) -> Result<HttpResponse, actix_web::Error> {
    let token = access_token(&request)?;
    let stream = async {
        let (watch, open_stream) = open(&request, &state, token).await?;
        Ok((frames(watch), open_stream))
    };
    serve(&request, payload, &state, stream).await
}

async fn open(
    request: &HttpRequest,
    state: &ApiState,
    token: Option<String>,
) -> Result<(FleetWatch, OpenStream), CloseReason> {
    // First, so that an unauthorized caller does not learn what else is wrong with the request.
    let caller = authorize(request, state, token.as_deref(), Permission::ReadVehicles).await?;
    let vehicle_id: Option<VehicleId> = query_value(request, "vehicle_id", "a UUID")?;
    let slot = state.open_streams.open(caller.user.user_id)?;
    match state.fleet.watch(&caller, vehicle_id).await {
        Ok(watch) => Ok((watch, slot)),
        Err(error) => Err(reject(request, state, error)),
    }
}

/// The events, then a close frame when the token expires or the session ends.
fn frames(watch: FleetWatch) -> impl Stream<Item = Frame> {
    let credential = watch.credential();
    let events = stream::unfold(watch, async |mut watch| {
        let event = watch.next().await?;
        Some((Frame::of(event.as_ref()), watch))
    });
    let close = async move {
        let otherwise = "token_expired: the token has expired";
        Frame::Close(premature(&credential, otherwise))
    };
    events.chain(stream::once(close))
}
