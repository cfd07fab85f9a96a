use std::{any::Any, panic::AssertUnwindSafe};

use actix_web::{
    Error,
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    middleware::Next,
};
use futures_util::FutureExt;

use crate::problem::{Code, Problem};

/// Turns a panic of a handler into a 500, so that the client learns of it.
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
