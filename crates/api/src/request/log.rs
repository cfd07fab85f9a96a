use std::time::Instant;

use actix_web::{
    Error,
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    middleware::Next,
};
use tracing::Instrument;

use super::RequestId;

/// Logs each request, in a span with its id. The query string is not logged because it may contain a
/// token.
pub(crate) async fn log_request<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, Error> {
    let started = Instant::now();
    let span = tracing::info_span!(
        "http.request",
        request_id = %RequestId::of(request.request()),
        http.method = %request.method(),
        http.path = %request.path(),
    );
    let response = async {
        let outcome = next.call(request).await;
        let status = match &outcome {
            Ok(response) => response.status(),
            Err(error) => error.as_response_error().status_code(),
        };
        let duration_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        tracing::info!(
            http.status = status.as_u16(),
            duration_ms,
            "request completed"
        );
        outcome
    };
    response.instrument(span).await
}
