use actix_web::HttpRequest;
use actix_ws::CloseReason;
use sovd_domain::Permission;
use sovd_services::{Caller, ServiceError};

use super::close::{close_code, reason};
use crate::{extract, problem::Problem, request::audit_refusal, state::ApiState};

/// Authenticates the caller of a handshake and requires `permission`.
pub(crate) async fn authorize(
    request: &HttpRequest,
    state: &ApiState,
    token: Option<&str>,
    permission: Permission,
) -> Result<Caller, CloseReason> {
    match extract::authorize(request, state, token, permission, None).await {
        Ok((caller, _)) => Ok(caller),
        Err(error) => Err(reject(request, state, error)),
    }
}

/// Returns the reason for closing a stream that is not opened. Audits refusals, which the middleware
/// cannot see because the handshake itself succeeded.
pub(crate) fn reject(request: &HttpRequest, state: &ApiState, error: ServiceError) -> CloseReason {
    let (close_code, problem) = (close_code(&error), Problem::from(error));
    audit_refusal(request, state, problem.code);
    reason(close_code, &problem)
}
