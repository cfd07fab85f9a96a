use actix_web::{
    Error,
    body::{self, BodySize, EitherBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::Method,
    middleware::Next,
};

/// Handles HEAD like GET (RFC 9110, section 9.3.2). The server omits the body.
pub(crate) async fn head_as_get<B: MessageBody>(
    mut request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B, body::None>>, Error> {
    let is_head = request.method() == Method::HEAD;
    if is_head {
        request.head_mut().method = Method::GET;
    }
    let response = next.call(request).await?;
    // The server would wait for the end of a stream of which it sends nothing.
    Ok(
        if is_head && response.response().body().size() == BodySize::Stream {
            response.map_body(|_, _| EitherBody::right(body::None::new()))
        } else {
            response.map_into_left_body()
        },
    )
}
