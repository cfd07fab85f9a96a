use std::{
    cell::RefCell,
    future::{Future, poll_fn},
    pin::{Pin, pin},
    rc::Rc,
    task::{Context, Poll},
};

use actix_web::{
    Error, HttpMessage,
    body::MessageBody,
    dev::{Payload, ServiceRequest, ServiceResponse},
    error::PayloadError,
    http::header::TRANSFER_ENCODING,
    middleware::Next,
    web::Bytes,
};
use futures_util::{Stream, StreamExt};

use crate::problem::{Code, Problem};

/// Responds with 400 as soon as the framing of a chunked body is invalid (RFC 9112, section 7.1).
///
/// actix-http closes the connection in the poll in which it finds an invalid chunk. A handler that is not
/// reading the body at that moment, such as one that authenticates the caller, could not respond.
/// Therefore one chunk is read ahead of the handler.
pub(crate) async fn refuse_broken_body<B: MessageBody>(
    mut request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, Error> {
    if !request.headers().contains_key(TRANSFER_ENCODING) {
        return next.call(request).await;
    }
    let body = ReadAhead::new(request.take_payload());
    request.set_payload(Payload::Stream {
        payload: Box::pin(body.clone()),
    });
    let mut response = pin!(next.call(request));
    poll_fn(|context| {
        if let Poll::Ready(response) = response.as_mut().poll(context) {
            return Poll::Ready(response);
        }
        if body.is_broken(context) {
            let detail = "the chunked body is malformed or incomplete";
            let problem = Problem::new(Code::MalformedRequest, detail);
            return Poll::Ready(Err(problem.into()));
        }
        Poll::Pending
    })
    .await
}

/// A request body with one chunk of lookahead. Clones share it.
#[derive(Clone)]
struct ReadAhead(Rc<RefCell<Inner>>);

struct Inner {
    payload: Payload,
    next: Option<Result<Bytes, PayloadError>>,
    has_ended: bool,
    is_broken: bool,
}

impl ReadAhead {
    fn new(payload: Payload) -> Self {
        Self(Rc::new(RefCell::new(Inner {
            payload,
            next: None,
            has_ended: false,
            is_broken: false,
        })))
    }

    fn is_broken(&self, context: &mut Context<'_>) -> bool {
        let mut inner = self.0.borrow_mut();
        inner.look_ahead(context);
        inner.is_broken
    }
}

impl Inner {
    fn look_ahead(&mut self, context: &mut Context<'_>) {
        if self.next.is_none()
            && !self.has_ended
            && let Poll::Ready(next) = self.payload.poll_next_unpin(context)
        {
            self.has_ended = next.is_none();
            self.is_broken |= matches!(next, Some(Err(_)));
            self.next = next;
        }
    }
}

impl Stream for ReadAhead {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut inner = self.0.borrow_mut();
        inner.look_ahead(context);
        match inner.next.take() {
            Some(next) => Poll::Ready(Some(next)),
            None if inner.has_ended => Poll::Ready(None),
            None => Poll::Pending,
        }
    }
}
