//! JSON objects whose content is the client's own.

use serde_json::{Map, Value};
use sovd_domain::FieldError;

use crate::error::ServiceError;

/// How many bytes an object has at most, as JSON without white space.
const LIMIT: usize = 64 * 1024;

/// What is wrong with an object at `pointer` that is too large.
pub(crate) fn check_size(
    object: &Map<String, Value>,
    pointer: &str,
) -> Result<Option<FieldError>, ServiceError> {
    let json = serde_json::to_vec(object).map_err(ServiceError::internal)?;
    let detail = format!("must have at most {LIMIT} bytes as JSON");
    Ok((json.len() > LIMIT).then(|| FieldError::new(pointer, detail)))
}
