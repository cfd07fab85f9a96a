use actix_web::{
    Error, HttpMessage, HttpRequest,
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    middleware::Next,
};
use sovd_domain::UserId;
use sovd_services::audit::refusals::RefusedRequest;
use uuid::Uuid;

use crate::{
    extract::origin_of,
    problem::{Code, Problem},
    state::ApiState,
};

/// The authenticated caller of a request.
#[derive(Clone, Copy)]
pub(crate) struct KnownCaller(pub(crate) UserId);

/// Audits the requests that are refused because of their caller.
pub(crate) async fn audit_refusals<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, Error> {
    let response = next.call(request).await?;
    let code = response
        .response()
        .extensions()
        .get::<Problem>()
        .map(|problem| problem.code);
    if let (Ok(state), Some(code)) = (ApiState::of(response.request()), code) {
        audit_refusal(response.request(), state, code);
    }
    Ok(response)
}

/// Audits a request that is answered with `code`, if that is a refusal.
pub(crate) fn audit_refusal(request: &HttpRequest, state: &ApiState, code: Code) {
    if !is_refusal(code) {
        return;
    }
    let caller = request.extensions().get::<KnownCaller>().copied();
    state.refusals.record_request(RefusedRequest {
        user_id: caller.map(|caller| caller.0),
        origin: origin_of(request),
        method: request.method().as_str(),
        path: &audited_path(request),
        code: code.as_str(),
    });
}

/// Returns the path of a request for the audit trail. A parameter that is not a UUID is
/// replaced by its name, such as `{user_id}`, because a user may have pasted a secret there.
fn audited_path(request: &HttpRequest) -> String {
    let Some(pattern) = request.match_pattern() else {
        return "(unknown)".to_owned();
    };
    let parameters = request.match_info().iter();
    parameters.fold(pattern, |path, (name, value)| {
        if Uuid::parse_str(value).is_ok() {
            path.replace(&format!("{{{name}}}"), value)
        } else {
            path
        }
    })
}

/// Whether a response depends on the caller. Logins write their own audit entries, and an expired token
/// is not a refusal.
fn is_refusal(code: Code) -> bool {
    matches!(
        code,
        Code::Forbidden | Code::TokenInvalid | Code::SessionRevoked
    )
}
