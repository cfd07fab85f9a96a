use std::{fmt, sync::Arc};

use actix_web::{
    Error, HttpMessage, HttpRequest,
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    http::header::{HeaderMap, HeaderName, HeaderValue},
    middleware::Next,
};
use sovd_domain::{Random, SystemRandom};

const HEADER: HeaderName = HeaderName::from_static("x-request-id");

/// Correlates a request with its log records, problems and audit entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RequestId(Arc<str>);

impl RequestId {
    const MAX_LENGTH: usize = 128;

    /// Returns the id that [`identify`] assigned to `request`.
    pub(crate) fn of(request: &HttpRequest) -> Self {
        request
            .extensions()
            .get::<Self>()
            .cloned()
            .unwrap_or_else(Self::generate)
    }

    /// Returns the id that the client sent, if it is well formed.
    fn sent_in(value: &HeaderValue) -> Option<Self> {
        let id = value.to_str().ok()?;
        let is_well_formed = (1..=Self::MAX_LENGTH).contains(&id.len())
            && id
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
        is_well_formed.then(|| Self(id.into()))
    }

    /// Sets `X-Request-ID`.
    pub(crate) fn insert_into(&self, headers: &mut HeaderMap) {
        if let Ok(value) = HeaderValue::from_str(&self.0) {
            headers.insert(HEADER, value);
        }
    }

    fn generate() -> Self {
        Self(SystemRandom.uuid().to_string().into())
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Assigns an id to the request and returns it in `X-Request-ID`.
pub(crate) async fn identify<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, Error> {
    let sent = request.headers().get(HEADER).and_then(RequestId::sent_in);
    let id = sent.unwrap_or_else(RequestId::generate);
    request.extensions_mut().insert(id.clone());
    let mut response = next.call(request).await?;
    id.insert_into(response.headers_mut());
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepted(id: &str) -> bool {
        RequestId::sent_in(&HeaderValue::from_str(id).unwrap()).is_some()
    }

    #[test]
    fn keeps_a_well_formed_id() {
        assert!(accepted("a"));
        assert!(accepted("Trace-1_2.3"));
        assert!(accepted(&"x".repeat(128)));
    }

    #[test]
    fn replaces_a_malformed_id() {
        assert!(!accepted(""));
        assert!(!accepted(&"x".repeat(129)));
        for bad in ["a b", "a\"b", "a/b", "a;b", "a{b}"] {
            assert!(!accepted(bad), "{bad}");
        }
    }
}
