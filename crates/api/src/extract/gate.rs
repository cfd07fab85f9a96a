use std::future::{Future, Ready, ready};

use actix_web::{HttpMessage, HttpRequest};
use futures_util::future::{Either, LocalBoxFuture};
use tokio_util::sync::CancellationToken;

use crate::problem::Problem;

/// Keeps what is wrong with a request from whoever may not send it: the extractors of a handler run
/// side by side, and the first error is the answer. It is cancelled when it opens.
#[derive(Clone)]
struct Gate(CancellationToken);

/// What an extractor gives that looks at the request's head only.
pub(crate) type Checked<T> =
    Either<Ready<Result<T, Problem>>, LocalBoxFuture<'static, Result<T, Problem>>>;

/// Closes the gate of a request. Cancelling what it gives opens it.
pub(super) fn close_gate(request: &HttpRequest) -> CancellationToken {
    let opening = CancellationToken::new();
    request.extensions_mut().insert(Gate(opening.clone()));
    opening
}

/// Waits for the gate of a request, if a handler has one.
pub(super) fn gate_opened(request: &HttpRequest) -> impl Future<Output = ()> + use<> {
    let gate = request.extensions().get::<Gate>().cloned();
    async move {
        if let Some(Gate(opening)) = gate {
            opening.cancelled().await;
        }
    }
}

/// What was found in a request; what is wrong with it only once the gate is open.
pub(super) fn checked<T: 'static>(request: &HttpRequest, found: Result<T, Problem>) -> Checked<T> {
    match found {
        Ok(found) => Either::Left(ready(Ok(found))),
        Err(problem) => {
            let opened = gate_opened(request);
            Either::Right(Box::pin(async move {
                opened.await;
                Err(problem)
            }))
        }
    }
}
