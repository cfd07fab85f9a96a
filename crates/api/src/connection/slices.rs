use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use actix_web::{
    Error,
    body::{BodySize, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::{
        Method,
        header::{CONTENT_LENGTH, HeaderValue, TRANSFER_ENCODING, UPGRADE},
    },
    middleware::Next,
    web::Bytes,
};

use super::{
    activity::{Activity, Serving},
    framing::BodyLength,
};

/// The largest slice of a body that is passed to the server at once, in bytes. The server copies each
/// slice into its write buffer, where it stays until the peer reads it.
pub(super) const SLICE: usize = 16 * 1024;

/// Marks the connection as serving the request until the response has been written, and passes the
/// response to the server in slices.
pub(crate) async fn track_response<B: MessageBody + Unpin>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<Sliced<B>>, Error> {
    let body = body_length(&request);
    let serving = request
        .conn_data::<Activity>()
        .map(|activity| activity.serve(body));
    let response = next.call(request).await?;
    Ok(response.map_body(|_, body| Sliced {
        body,
        rest: Bytes::new(),
        _serving: serving,
    }))
}

/// Returns the length of a request's body by the rules of actix-http, which has checked the headers.
fn body_length(request: &ServiceRequest) -> BodyLength {
    let headers = request.headers();
    let is_websocket = |upgrade: &HeaderValue| {
        let upgrade = upgrade.to_str().map(str::trim);
        upgrade.is_ok_and(|upgrade| upgrade.eq_ignore_ascii_case("websocket"))
    };
    if headers.contains_key(TRANSFER_ENCODING) {
        return BodyLength::Chunked;
    }
    if headers.get_all(UPGRADE).any(is_websocket) {
        return BodyLength::Unbounded;
    }
    let length = headers.get(CONTENT_LENGTH);
    match length.and_then(|length| length.to_str().ok()?.trim().parse().ok()) {
        Some(length) => BodyLength::Known(length),
        None if request.method() == Method::CONNECT => BodyLength::Unbounded,
        None => BodyLength::Known(0),
    }
}

/// A body in slices of at most [`SLICE`] bytes.
pub(crate) struct Sliced<B> {
    body: B,
    rest: Bytes,
    _serving: Option<Serving>,
}

impl<B: MessageBody + Unpin> MessageBody for Sliced<B> {
    type Error = B::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        if self.rest.is_empty() {
            match ready!(Pin::new(&mut self.body).poll_next(context)) {
                Some(Ok(bytes)) => self.rest = bytes,
                end => return Poll::Ready(end),
            }
        }
        let length = self.rest.len().min(SLICE);
        Poll::Ready(Some(Ok(self.rest.split_to(length))))
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    #[actix_web::test]
    async fn slices_a_large_body_without_copying() {
        let whole = Bytes::from(vec![7; 2 * SLICE + 1]);
        let mut sliced = Sliced {
            body: whole.clone(),
            rest: Bytes::new(),
            _serving: None,
        };
        assert_eq!(sliced.size(), BodySize::Sized(2 * SLICE as u64 + 1));
        let mut offset = 0;
        while let Some(slice) = poll_fn(|context| Pin::new(&mut sliced).poll_next(context)).await {
            let slice = slice.unwrap();
            assert!(!slice.is_empty() && slice.len() <= SLICE);
            assert_eq!(slice.as_ptr(), whole[offset..].as_ptr());
            offset += slice.len();
        }
        assert_eq!(offset, whole.len());
    }
}
