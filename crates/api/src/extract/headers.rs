use actix_web::{FromRequest, HttpRequest, dev::Payload, http::header::HeaderValue};
use sovd_domain::IdempotencyKey;

use super::deferral::{Deferred, deferred};
use crate::problem::{Code, Problem};

const IDEMPOTENCY_KEY: &str = "Idempotency-Key";
const LAST_EVENT_ID: &str = "Last-Event-ID";

/// The idempotency key of a request, if it has one.
pub(crate) struct Keyed(pub(crate) Option<IdempotencyKey>);

/// The sequence number of the last response that a reconnecting client received, if it sends one.
pub(crate) struct LastEventId(pub(crate) Option<i32>);

impl FromRequest for Keyed {
    type Error = Problem;
    type Future = Deferred<Self>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        deferred(request, idempotency_key(request).map(Self))
    }
}

impl FromRequest for LastEventId {
    type Error = Problem;
    type Future = Deferred<Self>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        deferred(request, last_event_id(request).map(Self))
    }
}

fn idempotency_key(request: &HttpRequest) -> Result<Option<IdempotencyKey>, Problem> {
    let Some(value) = single(request, IDEMPOTENCY_KEY)? else {
        return Ok(None);
    };
    let key = value.to_str().unwrap_or_default().parse();
    key.map(Some)
        .map_err(|error| malformed(format!("{IDEMPOTENCY_KEY}: {error}")))
}

fn last_event_id(request: &HttpRequest) -> Result<Option<i32>, Problem> {
    let Some(value) = single(request, LAST_EVENT_ID)? else {
        return Ok(None);
    };
    let number = value.to_str().ok().and_then(|text| text.parse().ok());
    number
        .filter(|number: &i32| *number >= 0)
        .map(Some)
        .ok_or_else(|| malformed(format!("{LAST_EVENT_ID} is not a number from 0 on")))
}

/// Returns the value of a header, which may be sent once.
pub(super) fn single<'a>(
    request: &'a HttpRequest,
    name: &'static str,
) -> Result<Option<&'a HeaderValue>, Problem> {
    let mut values = request.headers().get_all(name);
    let value = values.next();
    match values.next() {
        None => Ok(value),
        Some(_) => Err(malformed(format!("{name} must be sent once"))),
    }
}

fn malformed(detail: String) -> Problem {
    Problem::new(Code::MalformedRequest, detail)
}
