//! Limits of JSON objects whose content the client defines.

use serde_json::{Map, Value};
use sovd_domain::FieldError;

use crate::error::{Result, ServiceError};

/// Maximum size of an object in bytes, as JSON without white space.
const LIMIT: usize = 64 * 1024;

/// Returns an error for the object at `pointer` if it is too large.
pub(crate) fn check_size(object: &Map<String, Value>, pointer: &str) -> Result<Option<FieldError>> {
    let json = serde_json::to_vec(object).map_err(ServiceError::internal)?;
    let detail = format!("must have at most {LIMIT} bytes as JSON");
    Ok((json.len() > LIMIT).then(|| FieldError::new(pointer, detail)))
}
