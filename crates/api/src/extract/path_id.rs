use std::str::FromStr;

use actix_web::{FromRequest, HttpRequest, dev::Payload};
use sovd_domain::FieldError;

use super::deferral::{Deferred, deferred};
use crate::problem::{Code, Problem};

/// The id in the path.
pub(crate) struct PathId<T>(pub(crate) T);

impl<T: FromStr + 'static> FromRequest for PathId<T> {
    type Error = Problem;
    type Future = Deferred<Self>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let (name, text) = request.match_info().iter().next().unwrap_or_default();
        let id = text.parse().map(Self).map_err(|_| {
            let error = FieldError::new(format!("/{name}"), "is not a UUID");
            Problem {
                errors: vec![error],
                ..Problem::new(
                    Code::MalformedRequest,
                    format!("{name} in the path is not a UUID"),
                )
            }
        });
        deferred(request, id)
    }
}
