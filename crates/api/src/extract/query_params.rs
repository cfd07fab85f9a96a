use actix_web::{FromRequest, HttpRequest, dev::Payload};
use chrono::{DateTime, Datelike, Utc};
use serde::de::DeserializeOwned;
use sovd_domain::{FieldError, Page, page::InvalidPage};

use super::gate::{Checked, checked};
use crate::problem::{Code, Problem};

/// The query string. An unknown parameter is refused: a misspelt filter would show too much.
pub(crate) struct QueryParams<T>(pub(crate) T);

impl<T: DeserializeOwned + 'static> FromRequest for QueryParams<T> {
    type Error = Problem;
    type Future = Checked<Self>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        checked(request, parse(request.query_string()).map(Self))
    }
}

fn parse<T: DeserializeOwned>(query: &str) -> Result<T, Problem> {
    let given: String = form_urlencoded::Serializer::new(String::new())
        .extend_pairs(
            // An empty value is how an empty field of a form arrives: it is as good as none.
            form_urlencoded::parse(query.as_bytes()).filter(|(_, value)| !value.is_empty()),
        )
        .finish();
    for (name, value) in form_urlencoded::parse(given.as_bytes()) {
        if value.contains('\0') {
            return Err(malformed(&name, "must not contain U+0000"));
        }
    }
    let pairs = serde_urlencoded::Deserializer::new(form_urlencoded::parse(given.as_bytes()));
    serde_path_to_error::deserialize(pairs)
        .map_err(|error| malformed(&error.path().to_string(), &error.inner().to_string()))
}

fn malformed(name: &str, detail: &str) -> Problem {
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
