use std::collections::HashSet;

use actix_web::{FromRequest, HttpRequest, dev::Payload};
use chrono::{DateTime, Datelike, Utc};
use serde::de::DeserializeOwned;
use sovd_domain::FieldError;
use sovd_services::text;
use utoipa::{IntoParams, openapi::path::Parameter};

use super::{
    accepted::accepted_by,
    deferral::{Deferred, deferred},
};
use crate::problem::{Code, Problem, shorten};

/// The query string. Unknown parameters are rejected, because a misspelled filter would return too much.
pub(crate) struct QueryParams<T>(pub(crate) T);

impl<T: DeserializeOwned + IntoParams + 'static> FromRequest for QueryParams<T> {
    type Error = Problem;
    type Future = Deferred<Self>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        deferred(request, parse(request.query_string()).map(Self))
    }
}

/// Parses the query string.
pub(super) fn parse<T: DeserializeOwned + IntoParams>(query: &str) -> Result<T, Problem> {
    let pairs = form_urlencoded::parse(query.as_bytes());
    for (name, value) in pairs {
        if !text::is_storable(&value) {
            return Err(malformed(&name, text::RULE));
        }
    }
    let empty = empty_values::<T>(query);
    if !empty.is_empty() {
        return Err(Problem::with_fields(Code::ValidationFailed, empty));
    }
    let pairs = serde_urlencoded::Deserializer::new(pairs);
    serde_path_to_error::deserialize(pairs)
        .map_err(|error| malformed(&error.path().to_string(), &error.inner().to_string()))
}

/// Returns an error for each parameter of `T` with an empty value. An empty filter must not mean "no
/// filter": a client with an unset variable would receive every object instead of those of one user.
fn empty_values<T: IntoParams>(query: &str) -> Vec<FieldError> {
    let names: HashSet<_> = form_urlencoded::parse(query.as_bytes())
        .filter_map(|(name, value)| value.is_empty().then_some(name))
        .collect();
    if names.is_empty() {
        return Vec::new();
    }
    let parameters = T::into_params(|| None);
    let empty = parameters
        .iter()
        .filter(|parameter| names.contains(parameter.name.as_str()));
    let error = |parameter: &Parameter| {
        let accepted = accepted_by(parameter.schema.as_ref());
        let detail = format!("must not be empty: send {accepted}, or omit the parameter");
        FieldError::new(format!("/{}", parameter.name), detail)
    };
    empty.map(error).collect()
}

fn malformed(name: &str, detail: &str) -> Problem {
    let (mut name, mut detail) = (name.to_owned(), detail.to_owned());
    shorten(&mut name);
    shorten(&mut detail);
    let problem = Problem::new(
        Code::MalformedRequest,
        format!("the query string: {detail}"),
    );
    // An unknown parameter has no path; the detail names it.
    if name.starts_with(['.', '?']) {
        return problem;
    }
    Problem {
        errors: vec![FieldError::new(format!("/{name}"), detail)],
        ..problem
    }
}

/// Checks that RFC 3339 can represent a time in a query.
pub(crate) fn moment(
    name: &str,
    moment: Option<DateTime<Utc>>,
) -> Result<Option<DateTime<Utc>>, Problem> {
    if moment.is_none_or(|moment| (1..=9999).contains(&moment.year())) {
        return Ok(moment);
    }
    let error = FieldError::new(format!("/{name}"), "must be in the years 1 to 9999");
    Err(Problem::with_fields(Code::ValidationFailed, vec![error]))
}
