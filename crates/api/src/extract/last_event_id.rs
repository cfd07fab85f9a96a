use actix_web::{FromRequest, HttpRequest, dev::Payload};

use super::deferral::{Deferred, deferred};
use crate::problem::{Code, Problem};

const HEADER: &str = "Last-Event-ID";

/// The sequence number of the last response that a reconnecting client received, if it sends one.
pub(crate) struct LastEventId(pub(crate) Option<i32>);

impl FromRequest for LastEventId {
    type Error = Problem;
    type Future = Deferred<Self>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        deferred(request, read(request).map(Self))
    }
}

fn read(request: &HttpRequest) -> Result<Option<i32>, Problem> {
    let mut values = request.headers().get_all(HEADER);
    let Some(value) = values.next() else {
        return Ok(None);
    };
    let malformed = |what| Problem::new(Code::MalformedRequest, format!("{HEADER} {what}"));
    if values.next().is_some() {
        return Err(malformed("must be sent once"));
    }
    let number = value.to_str().ok().and_then(|text| text.parse().ok());
    number
        .filter(|number: &i32| *number >= 0)
        .map(Some)
        .ok_or_else(|| malformed("is not a number from 0 on"))
}
