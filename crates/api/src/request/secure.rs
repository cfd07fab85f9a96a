use std::{fmt, time::Duration};

use actix_web::{
    Error, HttpResponse, ResponseError,
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    http::{
        StatusCode,
        header::{
            CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderMap, HeaderName, HeaderValue,
            PERMISSIONS_POLICY, REFERRER_POLICY, STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS,
            X_FRAME_OPTIONS,
        },
    },
    middleware::Next,
    web::Data,
};

/// The content security policy of API responses, which are data.
const API_POLICY: &str = "default-src 'none'; frame-ancestors 'none'";

/// The content security policy of Swagger UI, which loads its own files and calls the API. Its style
/// sheet contains images as data URLs, and its logo a style element.
const DOCS_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
     img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; \
     frame-ancestors 'none'";

/// The security headers of every response.
const ALWAYS: [(HeaderName, &str); 5] = [
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (X_FRAME_OPTIONS, "DENY"),
    (REFERRER_POLICY, "no-referrer"),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    ),
    (
        PERMISSIONS_POLICY,
        "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()",
    ),
];

/// The `max-age` of HTTP Strict Transport Security (RFC 6797); zero omits the header.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HttpsOnly(pub(crate) Duration);

/// Adds security headers to every response, including those made from errors.
pub(crate) async fn secure<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, Error> {
    let policy = SecurityPolicy {
        is_docs: request.path() == "/docs" || request.path().starts_with("/docs/"),
        https_only: request
            .app_data::<Data<HttpsOnly>>()
            .map_or(Duration::ZERO, |https_only| https_only.0),
    };
    match next.call(request).await {
        Ok(mut response) => {
            policy.apply(response.headers_mut());
            Ok(response)
        }
        Err(error) => Err(SecuredError { error, policy }.into()),
    }
}

/// The security headers of one response.
#[derive(Debug, Clone, Copy)]
struct SecurityPolicy {
    is_docs: bool,
    https_only: Duration,
}

impl SecurityPolicy {
    fn apply(self, headers: &mut HeaderMap) {
        for (name, value) in ALWAYS {
            headers.insert(name, HeaderValue::from_static(value));
        }
        let policy = if self.is_docs {
            DOCS_POLICY
        } else {
            API_POLICY
        };
        headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
        // The documentation is public, and a handler may allow caching.
        if !self.is_docs && !headers.contains_key(CACHE_CONTROL) {
            headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        }
        let max_age = format!("max-age={}", self.https_only.as_secs());
        if let (false, Ok(value)) = (self.https_only.is_zero(), max_age.parse()) {
            headers.insert(STRICT_TRANSPORT_SECURITY, value);
        }
    }
}

/// An error of an inner layer, which is rendered later.
#[derive(Debug)]
struct SecuredError {
    error: Error,
    policy: SecurityPolicy,
}

impl fmt::Display for SecuredError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl ResponseError for SecuredError {
    fn status_code(&self) -> StatusCode {
        self.error.as_response_error().status_code()
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = self.error.error_response();
        self.policy.apply(response.headers_mut());
        response
    }
}

#[cfg(test)]
mod tests {
    use actix_web::{
        App,
        middleware::from_fn,
        test::{TestRequest, call_service, init_service},
        web,
    };

    use super::*;
    use crate::{
        problem::render_problems,
        request::{catch_panics, identify},
    };

    async fn panics() -> HttpResponse {
        panic!("a handler broke")
    }

    async fn cacheable() -> HttpResponse {
        HttpResponse::Ok()
            .insert_header((CACHE_CONTROL, "max-age=60"))
            .finish()
    }

    #[actix_web::test]
    async fn a_panic_response_has_the_security_headers() {
        let app = App::new()
            .route("/", web::get().to(panics))
            .wrap(from_fn(catch_panics))
            .wrap(from_fn(render_problems))
            .wrap(from_fn(identify))
            .wrap(from_fn(secure));
        let app = init_service(app).await;
        let request = TestRequest::get().to_request();
        let error = actix_web::dev::Service::call(&app, request)
            .await
            .unwrap_err();
        let response = error.error_response();
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers();
        for (name, value) in ALWAYS {
            assert_eq!(headers.get(&name).unwrap(), value, "{name}");
        }
        assert_eq!(headers.get(CONTENT_SECURITY_POLICY).unwrap(), API_POLICY);
        assert_eq!(headers.get(CACHE_CONTROL).unwrap(), "no-store");
        assert_eq!(
            headers.get("content-type").unwrap(),
            "application/problem+json"
        );
        assert!(headers.contains_key("x-request-id"));
    }

    #[actix_web::test]
    async fn keeps_the_cache_control_of_a_handler() {
        let app = App::new()
            .route("/", web::get().to(cacheable))
            .wrap(from_fn(secure));
        let app = init_service(app).await;
        let response = call_service(&app, TestRequest::get().to_request()).await;
        assert_eq!(response.headers().get(CACHE_CONTROL).unwrap(), "max-age=60");
    }
}
