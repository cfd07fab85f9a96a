use actix_web::HttpRequest;
use actix_ws::CloseReason;
use sovd_domain::Permission;
use sovd_services::{AuthFailure, Caller, ServiceError, audit::refusals::RefusedRequest};

use super::close::{close_code, reason};
use crate::{
    extract::origin_of,
    problem::Problem,
    request::{audited_path, is_refusal},
    state::ApiState,
};

/// Authenticates the caller of a handshake and requires `permission`.
pub(crate) async fn authorize(
    request: &HttpRequest,
    state: &ApiState,
    token: Option<String>,
    permission: Permission,
) -> Result<Caller, CloseReason> {
    let mut caller = match authenticate(request, state, token).await {
        Ok(caller) => caller,
        Err(error) => return Err(reject(request, state, None, error)),
    };
    let (method, path) = (request.method().as_str(), request.path());
    let admitting = state.agents.admit(&mut caller, permission, method, path);
    match admitting.await {
        Ok(()) => Ok(caller),
        Err(error) => Err(reject(request, state, Some(&caller), error)),
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

/// Returns the reason for closing a stream that is not opened. Refusals are audited here, because the
/// handshake itself succeeded.
pub(crate) fn reject(
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
        state.refusals.record_request(refused);
    }
    reason(close_code, &problem)
}
