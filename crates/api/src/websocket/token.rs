use actix_web::{HttpRequest, http::header::SEC_WEBSOCKET_PROTOCOL};

use crate::extract::bearer_token;

/// The sub-protocol that browsers should offer beside the token, so that the server can select
/// it and the token need not travel back.
pub(super) const EVENTS_PROTOCOL: &str = "sovd.events.v1";

const TOKEN_PROTOCOL: &str = "bearer.";

/// The access token, from the `Authorization` header, the sub-protocol list (browsers) or the
/// query string (older clients).
pub(super) fn access_token(request: &HttpRequest) -> Option<String> {
    bearer_token(request)
        .map(str::to_owned)
        .or_else(|| {
            let protocol = token_protocol(request)?;
            Some(protocol.trim_start_matches(TOKEN_PROTOCOL).to_owned())
        })
        .or_else(|| query_value(request, "token"))
}

/// The offered sub-protocol that carries a token. A browser that offers nothing else gets it
/// back: it would close the connection otherwise.
pub(super) fn token_protocol(request: &HttpRequest) -> Option<String> {
    request
        .headers()
        .get_all(SEC_WEBSOCKET_PROTOCOL)
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .find(|protocol| protocol.starts_with(TOKEN_PROTOCOL))
        .map(str::to_owned)
}

/// The first value of a query parameter.
pub(super) fn query_value(request: &HttpRequest, name: &str) -> Option<String> {
    form_urlencoded::parse(request.query_string().as_bytes())
        .find(|(key, _)| key == name)
        .map(|(_, value)| value.into_owned())
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn the_token_is_found_in_each_place() {
        let header = TestRequest::default().insert_header(("Authorization", "Bearer t1"));
        let protocol = TestRequest::default()
            .insert_header(("Sec-WebSocket-Protocol", "sovd.events.v1, bearer.t2"));
        let query = TestRequest::with_uri("/ws/responses/x?after=1&token=t3");
        for (request, token) in [(header, "t1"), (protocol, "t2"), (query, "t3")] {
            assert_eq!(
                access_token(&request.to_http_request()).as_deref(),
                Some(token)
            );
        }
        assert_eq!(
            access_token(&TestRequest::default().to_http_request()),
            None
        );
    }
}
