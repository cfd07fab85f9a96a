use std::sync::Arc;

use actix_web::{HttpMessage, HttpRequest};
use sovd_domain::Permission;
use sovd_services::{
    AuthFailure, Caller, ServiceError,
    in_flight::{InFlight, Permit},
};

use super::{CallerKey, headers::single, origin_of};
use crate::{problem::Problem, request::KnownCaller, state::ApiState};

/// Authenticates the caller of a request and requires `permission`. HTTP operations and WebSocket
/// endpoints both use it.
///
/// The request is counted in `in_flight` if given. WebSocket endpoints count open streams instead.
pub(crate) async fn authorize(
    request: &HttpRequest,
    state: &ApiState,
    token: Option<&str>,
    permission: Permission,
    in_flight: Option<&Arc<InFlight<CallerKey>>>,
) -> Result<(Caller, Option<Permit<CallerKey>>), ServiceError> {
    let token = token.ok_or(AuthFailure::MissingToken)?;
    let mut caller = state.auth.authenticate(token, origin_of(request)).await?;
    let user_id = caller.user.user_id;
    request.extensions_mut().insert(KnownCaller(user_id));
    let permit = match in_flight {
        Some(in_flight) => Some(in_flight.admit(CallerKey::User(user_id)).await?),
        None => None,
    };
    let (method, path) = (request.method().as_str(), request.path());
    let agents = &state.agents;
    agents.admit(&mut caller, permission, method, path).await?;
    Ok((caller, permit))
}

/// Returns the token of the `Authorization` header (RFC 6750), if there is one.
///
/// # Errors
///
/// `malformed_request` if the header is sent more than once: a proxy may have checked the other one.
pub(crate) fn bearer_token(request: &HttpRequest) -> Result<Option<&str>, Problem> {
    let value = single(request, "Authorization")?;
    Ok(value.and_then(|value| {
        let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    }))
}
