use actix_web::{
    Error, HttpMessage, HttpRequest,
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    middleware::Next,
    web::Data,
};
use sovd_domain::UserId;
use sovd_services::audit::refusals::RefusedRequest;
use uuid::Uuid;

use crate::{
    extract::origin_of,
    problem::{Code, Problem},
    state::ApiState,
};

/// Who sent a request, once that is known.
#[derive(Clone, Copy)]
pub(crate) struct KnownCaller(pub(crate) UserId);

/// Writes down the requests that were refused for who sent them. What a handler refuses for what was
/// sent is nobody's secret, and whoever lost a token's time may fetch another.
pub(crate) async fn audit_refusals<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, Error> {
    let state = request.app_data::<Data<ApiState>>().cloned();
    let response = next.call(request).await?;
    let code = response
        .response()
        .extensions()
        .get::<Problem>()
        .map(|problem| problem.code);
    if let (Some(state), Some(code)) = (state, code.filter(|code| is_refusal(*code))) {
        let request = response.request();
        let caller = request.extensions().get::<KnownCaller>().copied();
        let refused = RefusedRequest {
            user_id: caller.map(|caller| caller.0),
            origin: origin_of(request),
            method: request.method().as_str(),
            path: &audited_path(request),
            code: code.as_str(),
        };
        state.refusals.record_request(refused);
    }
    Ok(response)
}

/// Returns the path of a request for the audit trail. A parameter that is not a UUID is
/// replaced by its name, such as `{user_id}`, because a user may have pasted a secret there.
pub(crate) fn audited_path(request: &HttpRequest) -> String {
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

/// Whether it is told apart from other answers by who asked. Logging in writes its own lines.
pub(crate) fn is_refusal(code: Code) -> bool {
    matches!(
        code,
        Code::Forbidden | Code::TokenInvalid | Code::SessionRevoked
    )
}
