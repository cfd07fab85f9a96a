use std::{any::Any, panic::AssertUnwindSafe};

use actix_web::{
    Error,
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    middleware::Next,
};
use futures_util::FutureExt;

use crate::problem::{Code, Problem};

/// Converts a panic of a handler into a 500 response.
pub(crate) async fn catch_panics<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, Error> {
    AssertUnwindSafe(next.call(request))
        .catch_unwind()
        .await
        .unwrap_or_else(|panic| {
            let problem = Problem {
                cause: Some(format!("a handler panicked: {}", message(panic.as_ref()))),
                ..Problem::new(Code::Internal, "something went wrong here")
            };
            Err(problem.into())
        })
}

fn message(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}

#[cfg(test)]
mod tests {
    use actix_web::{
        App, HttpResponse,
        http::StatusCode,
        middleware::from_fn,
        test::{TestRequest, init_service},
        web,
    };
    use serde_json::Value;

    use super::*;
    use crate::{problem::render_problems, request::identify};

    async fn panics() -> HttpResponse {
        panic!("hunter2")
    }

    #[actix_web::test]
    async fn a_panic_becomes_a_problem_without_details() {
        let app = App::new()
            .route("/", web::get().to(panics))
            .wrap(from_fn(catch_panics))
            .wrap(from_fn(render_problems))
            .wrap(from_fn(identify));
        let app = init_service(app).await;
        let request = TestRequest::get()
            .insert_header(("X-Request-ID", "t1"))
            .to_request();
        let error = actix_web::dev::Service::call(&app, request)
            .await
            .unwrap_err();
        let response = error.error_response();
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(
            response.headers().get("content-type").unwrap(),
            "application/problem+json"
        );
        assert_eq!(response.headers().get("x-request-id").unwrap(), "t1");
        let body = actix_web::body::to_bytes(response.into_body())
            .await
            .unwrap();
        let problem: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(problem["code"], "internal");
        assert_eq!(problem["correlation_id"], "t1");
        assert_eq!(problem["instance"], "/");
        assert!(!problem.to_string().contains("hunter2"));
    }
}
