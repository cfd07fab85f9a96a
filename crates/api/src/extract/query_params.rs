use std::collections::HashSet;

use actix_web::{FromRequest, HttpRequest, dev::Payload};
use chrono::{DateTime, Datelike, Utc};
use serde::de::DeserializeOwned;
use sovd_domain::{FieldError, Page, paging::InvalidPage};
use utoipa::{IntoParams, openapi::path::Parameter};

use super::{
    accepted::accepted_by,
    gate::{Checked, checked},
};
use crate::problem::{Code, Problem, shorten};

/// The query string. An unknown parameter is refused: a misspelt filter would show too much.
pub(crate) struct QueryParams<T>(pub(crate) T);

impl<T: DeserializeOwned + IntoParams + 'static> FromRequest for QueryParams<T> {
    type Error = Problem;
    type Future = Checked<Self>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        checked(request, parse(request.query_string()).map(Self))
    }
}

fn parse<T: DeserializeOwned + IntoParams>(query: &str) -> Result<T, Problem> {
    let pairs = form_urlencoded::parse(query.as_bytes());
    for (name, value) in pairs {
        if value.contains('\0') {
            return Err(malformed(&name, "must not contain U+0000"));
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

/// An error for each parameter of `T` with an empty value. An empty filter must not mean "no filter":
/// a client with a blank variable would get every object instead of those of one user.
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
        let detail = format!("must not be empty: give {accepted}, or leave it out");
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
    // An unknown name has no path of its own; the detail tells it.
    if name.starts_with(['.', '?']) {
        return problem;
    }
    Problem {
        errors: vec![FieldError::new(format!("/{name}"), detail)],
        ..problem
    }
}

/// A moment in a query, if it is one that RFC 3339 can name.
pub(crate) fn moment(
    name: &str,
    moment: Option<DateTime<Utc>>,
) -> Result<Option<DateTime<Utc>>, Problem> {
    if moment.is_none_or(|moment| (1..=9999).contains(&moment.year())) {
        return Ok(moment);
    }
    let error = FieldError::new(format!("/{name}"), "must be of the years 1 to 9999");
    Err(Problem::with_fields(Code::ValidationFailed, vec![error]))
}

/// The page a list is asked for.
pub(crate) fn page(limit: Option<i64>, offset: Option<i64>) -> Result<Page, Problem> {
    Page::new(limit, offset).map_err(|error| {
        let pointer = match error {
            InvalidPage::Limit => "/limit",
            InvalidPage::Offset => "/offset",
        };
        let errors = vec![FieldError::new(pointer, error.to_string())];
        Problem::with_fields(Code::ValidationFailed, errors)
    })
}
