use actix_web::{HttpMessage, HttpRequest, http::header::CONTENT_ENCODING};

use crate::problem::{Code, Problem, Supported};

/// Rejects a body that is not `application/json`. The response names the media type in `Accept`
/// (RFC 9110, section 15.5.16).
pub(super) fn check_media_type(request: &HttpRequest) -> Result<(), Problem> {
    if request
        .content_type()
        .eq_ignore_ascii_case("application/json")
    {
        return Ok(());
    }
    let detail = "the Content-Type must be application/json";
    Err(unsupported(detail, Supported::Json))
}

/// Rejects a compressed body, which the server does not decode. The response names the accepted coding in
/// `Accept-Encoding` (RFC 9110, section 12.5.3).
pub(super) fn check_content_coding(request: &HttpRequest) -> Result<(), Problem> {
    let mut codings = request
        .headers()
        .get_all(CONTENT_ENCODING)
        // A value that is not ASCII is not a known coding.
        .flat_map(|value| value.to_str().unwrap_or("unreadable").split(','))
        .map(str::trim);
    if codings.all(|coding| coding.is_empty() || coding.eq_ignore_ascii_case("identity")) {
        return Ok(());
    }
    let detail = "the Content-Encoding must be identity: send the body uncompressed";
    Err(unsupported(detail, Supported::Identity))
}

fn unsupported(detail: &str, supported: Supported) -> Problem {
    Problem {
        supported: Some(supported),
        ..Problem::new(Code::UnsupportedMediaType, detail)
    }
}
