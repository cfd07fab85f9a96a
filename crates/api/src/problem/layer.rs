use std::fmt;

use actix_web::{
    Error, HttpResponse, ResponseError,
    body::{BoxBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::{
        ConnectionType, StatusCode,
        header::{ALLOW, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE},
    },
    middleware::Next,
};

use super::{Code, FieldErrorBody, Problem, ProblemBody, Supported};
use crate::request::RequestId;

/// The media type of RFC 9457.
const PROBLEM_JSON: &str = "application/problem+json";

/// Renders every error as problem details, whichever layer returned it.
pub(crate) async fn render_problems(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    // Not a clone of the request, because the router needs exclusive access to it.
    let context = RequestContext {
        path: request.path().to_owned(),
        request_id: RequestId::of(request.request()),
    };
    let response = match next.call(request).await {
        Ok(response) => response.map_into_boxed_body(),
        Err(error) => {
            let problem = problem_of(&HttpResponse::from_error(error));
            log(&problem);
            return Err(ProblemError { problem, context }.into());
        }
    };
    let status = response.status();
    if !status.is_client_error() && !status.is_server_error() {
        return Ok(response);
    }
    if has_own_body(response.headers()) {
        return Ok(response);
    }
    let problem = problem_of(response.response());
    log(&problem);
    Ok(response.map_body(|head, _| {
        set_headers(&problem, head.headers_mut());
        if problem.code == Code::RequestTimeout {
            // The rest of the body must not be read as the next request.
            head.set_connection_type(ConnectionType::Close);
        }
        BoxBody::new(body(&problem, &context))
    }))
}

/// The properties of the request that a problem repeats.
#[derive(Debug)]
struct RequestContext {
    path: String,
    request_id: RequestId,
}

/// A problem that an inner layer returned as an error instead of a response.
#[derive(Debug)]
struct ProblemError {
    problem: Problem,
    context: RequestContext,
}

impl fmt::Display for ProblemError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.problem.fmt(f)
    }
}

impl ResponseError for ProblemError {
    fn status_code(&self) -> StatusCode {
        self.problem.code.status()
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::new(self.status_code());
        set_headers(&self.problem, response.headers_mut());
        self.context.request_id.insert_into(response.headers_mut());
        response.set_body(BoxBody::new(body(&self.problem, &self.context)))
    }
}

/// Whether a handler returned an error status with its own body, as the readiness endpoint does.
fn has_own_body(headers: &HeaderMap) -> bool {
    headers
        .get(CONTENT_TYPE)
        .is_some_and(|value| value == "application/json")
}

fn problem_of(response: &HttpResponse) -> Problem {
    if let Some(problem) = response.extensions().get::<Problem>() {
        return problem.clone();
    }
    let code = Code::of_status(response.status());
    let allow = response
        .headers()
        .get(ALLOW)
        .and_then(|allow| allow.to_str().ok());
    let detail = match (code, allow) {
        (Code::MethodNotAllowed, Some(allow)) => format!("this path takes {allow}"),
        (Code::NotFound, _) => "there is nothing at this path".to_owned(),
        (Code::Internal, _) => {
            let cause = response
                .error()
                .map_or_else(String::new, ToString::to_string);
            return Problem::internal(format!("a layer answered {}: {cause}", response.status()));
        }
        _ => response
            .error()
            .map_or_else(|| code.title().to_owned(), ToString::to_string),
    };
    Problem::new(code, detail)
}

/// Logs the cause of a failure. Failed requests are logged nowhere else.
fn log(problem: &Problem) {
    match (&problem.cause, problem.code) {
        (Some(cause), Code::Unavailable) => tracing::warn!(%cause, "unavailable"),
        (Some(cause), _) => tracing::error!(%cause, "internal error"),
        (None, _) => {}
    }
}

fn set_headers(problem: &Problem, headers: &mut HeaderMap) {
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
    if problem.code.status() == StatusCode::UNAUTHORIZED {
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    if let Some((name, value)) = problem.supported.map(Supported::header) {
        headers.insert(name, value);
    }
    if let Some(delay) = problem.retry_after {
        headers.insert(RETRY_AFTER, HeaderValue::from(delay.as_secs()));
    }
}

fn body(problem: &Problem, context: &RequestContext) -> String {
    let body = ProblemBody {
        r#type: format!("/problems/{}", problem.code.as_str()),
        title: problem.code.title().to_owned(),
        status: problem.code.status().as_u16(),
        detail: problem.detail.clone(),
        instance: context.path.clone(),
        code: problem.code.as_str().to_owned(),
        correlation_id: context.request_id.to_string(),
        errors: problem
            .errors
            .iter()
            .map(|error| FieldErrorBody {
                pointer: error.pointer.clone(),
                detail: error.detail.clone(),
            })
            .collect(),
    };
    serde_json::to_string(&body).unwrap_or_default()
}
