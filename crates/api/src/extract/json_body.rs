use std::{
    any::TypeId,
    collections::HashMap,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use actix_web::{
    FromRequest, HttpRequest, dev::Payload, http::header::CONTENT_LENGTH, web::BytesMut,
};
use futures_util::{StreamExt, future::LocalBoxFuture};
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_path_to_error::{Path, Segment};
use sovd_domain::{FieldError, JsonSchema, json_schema::pointer_to};
use sovd_services::text;
use tokio::time::timeout;
use utoipa::PartialSchema;

use super::{
    deferral::deferred,
    media::{check_content_coding, check_media_type},
    unique_fields::UniqueFields,
};
use crate::{
    problem::{Code, Problem},
    state::ApiState,
};

/// How much of an oversized body is read and discarded, in bytes, so that the client can read the
/// response instead of a connection reset.
const DRAIN_LIMIT: usize = 8 * 1024 * 1024;

/// A JSON body that matches the schema of its type in the OpenAPI document.
pub(crate) struct JsonBody<T>(pub(crate) T);

/// An optional [`JsonBody`]. `null` counts as no body.
pub(crate) struct OptionalJsonBody<T>(pub(crate) Option<T>);

impl<T: DeserializeOwned + PartialSchema + 'static> FromRequest for JsonBody<T> {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (request, payload) = (request.clone(), payload.take());
        Box::pin(async move {
            let body = read(&request, payload)
                .await
                .and_then(|bytes| match_schema(json_of(&request, &bytes)?));
            deferred(&request, body.map(Self)).await
        })
    }
}

impl<T: DeserializeOwned + PartialSchema + 'static> FromRequest for OptionalJsonBody<T> {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (request, payload) = (request.clone(), payload.take());
        Box::pin(async move {
            let body = match read(&request, payload).await {
                Ok(bytes) if bytes.is_empty() => Ok(None),
                Ok(bytes) => json_of(&request, &bytes).and_then(|value| match value {
                    Value::Null => Ok(None),
                    value => match_schema(value).map(Some),
                }),
                Err(problem) => Err(problem),
            };
            deferred(&request, body.map(Self)).await
        })
    }
}

async fn read(request: &HttpRequest, payload: Payload) -> Result<BytesMut, Problem> {
    let state = ApiState::of(request)?;
    let (limit, time_limit) = (state.body_limit, state.body_timeout);
    let content_length = request
        .headers()
        .get(CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse().ok());
    if content_length.is_some_and(|length: usize| length > DRAIN_LIMIT) {
        return Err(too_large(limit));
    }
    let bytes = timeout(time_limit, read_all(payload, limit))
        .await
        .unwrap_or_else(|_| {
            let detail = format!("the body did not arrive within {} s", time_limit.as_secs());
            Err(Problem::new(Code::RequestTimeout, detail))
        })?;
    check_content_coding(request)?;
    Ok(bytes)
}

async fn read_all(mut payload: Payload, limit: usize) -> Result<BytesMut, Problem> {
    let mut body = BytesMut::new();
    let mut length = 0;
    while let Some(chunk) = payload.next().await {
        let chunk =
            chunk.map_err(|error| Problem::new(Code::MalformedRequest, error.to_string()))?;
        length += chunk.len();
        if length <= limit {
            body.extend_from_slice(&chunk);
        } else if length > DRAIN_LIMIT {
            break;
        }
    }
    if length > limit {
        return Err(too_large(limit));
    }
    Ok(body)
}

fn too_large(limit: usize) -> Problem {
    let detail = format!("a body has at most {limit} bytes");
    Problem::new(Code::PayloadTooLarge, detail)
}

fn json_of(request: &HttpRequest, bytes: &[u8]) -> Result<Value, Problem> {
    check_media_type(request)?;
    let UniqueFields(value) = serde_json::from_slice(bytes).map_err(|error| {
        let reason = if error.is_data() {
            "the body has a field twice in one object"
        } else {
            "the body is not JSON"
        };
        let detail = format!("{reason}: line {}, column {}", error.line(), error.column());
        Problem::new(Code::MalformedRequest, detail)
    })?;
    Ok(value)
}

fn match_schema<T>(mut value: Value) -> Result<T, Problem>
where
    T: DeserializeOwned + PartialSchema + 'static,
{
    let schema = schema_of::<T>()?;
    let mut errors = schema.check(&value, "");
    if errors.is_empty() {
        check_text(&value, &mut Vec::new(), &mut errors);
    }
    if !errors.is_empty() {
        return Err(Problem::with_fields(Code::ValidationFailed, errors));
    }
    schema.write_integers(&mut value);
    serde_path_to_error::deserialize(value).map_err(|error| {
        let pointer = pointer_of(error.path());
        let errors = vec![FieldError::new(pointer, "does not match the schema")];
        Problem::with_fields(Code::ValidationFailed, errors)
    })
}

/// Converts a path to a JSON pointer (RFC 6901).
fn pointer_of(path: &Path) -> String {
    path.iter()
        .fold(String::new(), |parent, segment| match segment {
            Segment::Seq { index } => format!("{parent}/{index}"),
            Segment::Map { key } => pointer_to(&parent, key),
            Segment::Enum { .. } | Segment::Unknown => parent,
        })
}

/// A step from a value to one of its members.
#[derive(Clone, Copy)]
enum Step<'a> {
    Field(&'a str),
    Item(usize),
}

/// Finds strings that cannot be stored. Pointers are built only for errors: building one for every value
/// would take quadratic time if a field has a long name.
fn check_text<'a>(value: &'a Value, path: &mut Vec<Step<'a>>, errors: &mut Vec<FieldError>) {
    if errors.len() >= FieldError::MOST {
        return;
    }
    match value {
        Value::String(value) if !text::is_storable(value) => errors.push(not_storable(path)),
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                path.push(Step::Item(index));
                check_text(item, path, errors);
                path.pop();
            }
        }
        Value::Object(fields) => {
            if !fields.keys().all(|name| text::is_storable(name)) {
                errors.push(not_storable(path));
            }
            for (name, field) in fields {
                path.push(Step::Field(name));
                check_text(field, path, errors);
                path.pop();
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn not_storable(path: &[Step<'_>]) -> FieldError {
    let pointer = path.iter().fold(String::new(), |parent, step| match step {
        Step::Field(name) => pointer_to(&parent, name),
        Step::Item(index) => format!("{parent}/{index}"),
    });
    FieldError::new(pointer, text::RULE)
}

/// Returns the schema of a body type, which is compiled once.
fn schema_of<T: PartialSchema + 'static>() -> Result<Arc<JsonSchema>, Problem> {
    static SCHEMAS: OnceLock<Mutex<HashMap<TypeId, Arc<JsonSchema>>>> = OnceLock::new();
    let mut schemas = SCHEMAS
        .get_or_init(Mutex::default)
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    if let Some(schema) = schemas.get(&TypeId::of::<T>()) {
        return Ok(Arc::clone(schema));
    }
    let broken = |cause: String| Problem {
        cause: Some(cause),
        ..Problem::new(Code::Internal, "the schema of this body is broken")
    };
    let document = serde_json::to_value(T::schema()).map_err(|error| broken(error.to_string()))?;
    let schema = JsonSchema::new(document).map_err(|error| broken(error.to_string()))?;
    let schema = Arc::new(schema);
    schemas.insert(TypeId::of::<T>(), Arc::clone(&schema));
    Ok(schema)
}
