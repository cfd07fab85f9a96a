use std::future::{Future, Ready, ready};

use actix_web::{HttpMessage, HttpRequest};
use futures_util::future::{Either, LocalBoxFuture};
use tokio_util::sync::CancellationToken;

use crate::problem::Problem;

/// Cancelled when the caller of a request is authorized.
///
/// The extractors of a handler run side by side and the first error is the response. An unauthorized
/// caller must not learn what else is wrong with the request, so the other extractors defer their errors.
#[derive(Clone)]
struct Authorization(CancellationToken);

/// The result of an extractor that reads only the head of a request.
pub(crate) type Deferred<T> =
    Either<Ready<Result<T, Problem>>, LocalBoxFuture<'static, Result<T, Problem>>>;

/// Makes the other extractors of a request defer their errors until the returned token is cancelled.
pub(super) fn defer_errors(request: &HttpRequest) -> CancellationToken {
    let token = CancellationToken::new();
    request
        .extensions_mut()
        .insert(Authorization(token.clone()));
    token
}

/// Waits until the caller of a request is authorized, if the handler requires it.
fn authorization(request: &HttpRequest) -> impl Future<Output = ()> + use<> {
    let authorization = request.extensions().get::<Authorization>().cloned();
    async move {
        if let Some(Authorization(token)) = authorization {
            token.cancelled().await;
        }
    }
}

/// Returns a value at once and an error only after the caller is authorized.
pub(super) fn deferred<T: 'static>(
    request: &HttpRequest,
    result: Result<T, Problem>,
) -> Deferred<T> {
    match result {
        Ok(value) => Either::Left(ready(Ok(value))),
        Err(problem) => {
            let authorized = authorization(request);
            Either::Right(Box::pin(async move {
                authorized.await;
                Err(problem)
            }))
        }
    }
}
