use std::str::FromStr;

use actix_web::{HttpRequest, http::header::SEC_WEBSOCKET_PROTOCOL};
use actix_ws::CloseReason;

use super::close::policy;
use crate::{
    extract::bearer_token,
    problem::{Code, Problem},
};

/// The subprotocol that browsers should offer in addition to the token, so that the server can select it
/// instead of returning the token.
pub(super) const EVENTS_PROTOCOL: &str = "sovd.events.v1";

const TOKEN_PROTOCOL: &str = "bearer.";

/// Returns the access token from the `Authorization` header, the subprotocol list (browsers) or the
/// query string (older clients). An empty `token` parameter is ignored.
///
/// # Errors
///
/// `malformed_request` if the header or the parameter is sent more than once.
pub(crate) fn access_token(request: &HttpRequest) -> Result<Option<String>, Problem> {
    let header = bearer_token(request)?;
    let [token, repeated] = query_values(request, "token");
    if repeated.is_some() {
        let detail = "token must be sent once";
        return Err(Problem::new(Code::MalformedRequest, detail));
    }
    Ok(header
        .map(str::to_owned)
        .or_else(|| {
            let protocol = token_protocol(request)?;
            Some(protocol.trim_start_matches(TOKEN_PROTOCOL).to_owned())
        })
        .or_else(|| token.filter(|token| !token.is_empty())))
}

/// Returns the offered subprotocol that carries a token. A browser that offers no other one receives it
/// back, because it would close the connection otherwise.
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

/// Returns the value of a query parameter, if present.
///
/// # Errors
///
/// A reason that states what is `accepted` if the value is empty, invalid or sent twice.
pub(crate) fn query_value<T: FromStr>(
    request: &HttpRequest,
    name: &str,
    accepted: &str,
) -> Result<Option<T>, CloseReason> {
    let refusal = || policy(&format!("{name} must be {accepted}, given once"));
    match query_values(request, name) {
        [None, _] => Ok(None),
        [Some(text), None] => text.parse().map(Some).map_err(|_| refusal()),
        [Some(_), Some(_)] => Err(refusal()),
    }
}

/// Returns the first two values of a query parameter.
fn query_values(request: &HttpRequest, name: &str) -> [Option<String>; 2] {
    let mut values = form_urlencoded::parse(request.query_string().as_bytes())
        .filter(|(key, _)| key == name)
        .map(|(_, value)| value.into_owned());
    [values.next(), values.next()]
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn finds_the_token_in_the_header_subprotocol_and_query() {
        let header = TestRequest::default().insert_header(("Authorization", "Bearer t1"));
        let protocol = TestRequest::default()
            .insert_header(("Sec-WebSocket-Protocol", "sovd.events.v1, bearer.t2"));
        let query = TestRequest::with_uri("/ws/responses/x?after=1&token=t3");
        for (request, token) in [(header, "t1"), (protocol, "t2"), (query, "t3")] {
            let found = access_token(&request.to_http_request()).unwrap();
            assert_eq!(found.as_deref(), Some(token));
        }
        for uri in ["/ws/events", "/ws/events?token=", "/ws/events?token"] {
            let request = TestRequest::with_uri(uri).to_http_request();
            assert_eq!(access_token(&request).unwrap(), None, "{uri}");
        }
    }
}
