use actix_web::{FromRequest, HttpRequest, dev::Payload};
use sovd_domain::IdempotencyKey;

use super::deferral::{Deferred, deferred};
use crate::problem::{Code, Problem};

const HEADER: &str = "Idempotency-Key";

/// The idempotency key of a request, if it has one.
pub(crate) struct Keyed(pub(crate) Option<IdempotencyKey>);

impl FromRequest for Keyed {
    type Error = Problem;
    type Future = Deferred<Self>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        deferred(request, read(request).map(Self))
    }
}

fn read(request: &HttpRequest) -> Result<Option<IdempotencyKey>, Problem> {
    let mut values = request.headers().get_all(HEADER);
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        let detail = format!("{HEADER} must be sent once");
        return Err(Problem::new(Code::MalformedRequest, detail));
    }
    let text = value.to_str().unwrap_or_default();
    text.parse()
        .map(Some)
        .map_err(|error| Problem::new(Code::MalformedRequest, format!("{HEADER}: {error}")))
}
