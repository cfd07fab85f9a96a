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

/// Ties a request to its log lines, its errors and its audit lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RequestId(Arc<str>);

impl RequestId {
    const MAX_LENGTH: usize = 128;

    /// The id that [`identify`] gave to `request`.
    pub(crate) fn of(request: &HttpRequest) -> Self {
        request
            .extensions()
            .get::<Self>()
            .cloned()
            .unwrap_or_else(Self::generate)
    }

    /// The caller's own id, if it is a sane one.
    fn sent_in(value: &HeaderValue) -> Option<Self> {
        let id = value.to_str().ok()?;
        let is_sane = (1..=Self::MAX_LENGTH).contains(&id.len())
            && id
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
        is_sane.then(|| Self(id.into()))
    }

    /// Sets the header that tells it.
    pub(crate) fn tell(&self, headers: &mut HeaderMap) {
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

/// Gives the request an id and the response the header that tells it.
pub(crate) async fn identify<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, Error> {
    let sent = request.headers().get(HEADER).and_then(RequestId::sent_in);
    let id = sent.unwrap_or_else(RequestId::generate);
    request.extensions_mut().insert(id.clone());
    let mut response = next.call(request).await?;
    id.tell(response.headers_mut());
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepted(id: &str) -> bool {
        RequestId::sent_in(&HeaderValue::from_str(id).unwrap()).is_some()
    }

    #[test]
    fn sane_ids_are_kept() {
        assert!(accepted("a"));
        assert!(accepted("Trace-1_2.3"));
        assert!(accepted(&"x".repeat(128)));
    }

    #[test]
    fn others_are_replaced() {
        assert!(!accepted(""));
        assert!(!accepted(&"x".repeat(129)));
        for bad in ["a b", "a\"b", "a/b", "a;b", "a{b}"] {
            assert!(!accepted(bad), "{bad}");
        }
    }
}
