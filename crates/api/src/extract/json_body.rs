use std::{
    any::TypeId,
    collections::HashMap,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};

use actix_web::{
    FromRequest, HttpRequest,
    dev::Payload,
    http::header::CONTENT_LENGTH,
    web::{BytesMut, Data},
};
use futures_util::StreamExt;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_path_to_error::{Path, Segment};
use sovd_domain::{FieldError, JsonSchema, json_schema::pointer_to};
use tokio::time::timeout;
use utoipa::PartialSchema;

use super::{
    gate::checked,
    media::{check_content_coding, check_media_type},
    unambiguous::Unambiguous,
};
use crate::{
    problem::{Code, Problem},
    state::ApiState,
};

/// How much of a body past its limit is read and thrown away, so that the client gets to read
/// the answer instead of a broken connection.
const DRAIN_LIMIT: usize = 8 * 1024 * 1024;

/// A JSON body that meets the schema its type has in the OpenAPI document.
pub(crate) struct JsonBody<T>(pub(crate) T);

/// The same for a body that may be left out. `null` counts as no body: the document allows it.
pub(crate) struct OptionalJsonBody<T>(pub(crate) Option<T>);

impl<T: DeserializeOwned + PartialSchema + 'static> FromRequest for JsonBody<T> {
    type Error = Problem;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Problem>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (request, payload) = (request.clone(), payload.take());
        Box::pin(async move {
            let found = read(&request, payload)
                .await
                .and_then(|bytes| meet_schema(json_of(&request, &bytes)?));
            checked(&request, found.map(Self)).await
        })
    }
}

impl<T: DeserializeOwned + PartialSchema + 'static> FromRequest for OptionalJsonBody<T> {
    type Error = Problem;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Problem>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (request, payload) = (request.clone(), payload.take());
        Box::pin(async move {
            let found = match read(&request, payload).await {
                Ok(bytes) if bytes.is_empty() => Ok(None),
                Ok(bytes) => json_of(&request, &bytes).and_then(|value| match value {
                    Value::Null => Ok(None),
                    value => meet_schema(value).map(Some),
                }),
                Err(problem) => Err(problem),
            };
            checked(&request, found.map(Self)).await
        })
    }
}

async fn read(request: &HttpRequest, payload: Payload) -> Result<BytesMut, Problem> {
    let state = request.app_data::<Data<ApiState>>();
    let (limit, patience) = state.map_or((0, Duration::ZERO), |state| {
        (state.body_limit, state.body_timeout)
    });
    let announced = request
        .headers()
        .get(CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse().ok());
    if announced.is_some_and(|length: usize| length > DRAIN_LIMIT) {
        return Err(too_large(limit));
    }
    let bytes = timeout(patience, read_all(payload, limit))
        .await
        .unwrap_or_else(|_| {
            let detail = format!("the body did not arrive within {} s", patience.as_secs());
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
    let Unambiguous(value) = serde_json::from_slice(bytes).map_err(|error| {
        let wrong = if error.is_data() {
            "the body has a field twice in one object"
        } else {
            "the body is not JSON"
        };
        let detail = format!("{wrong}: line {}, column {}", error.line(), error.column());
        Problem::new(Code::MalformedRequest, detail)
    })?;
    Ok(value)
}

fn meet_schema<T>(mut value: Value) -> Result<T, Problem>
where
    T: DeserializeOwned + PartialSchema + 'static,
{
    let schema = schema_of::<T>()?;
    let mut errors = schema.check(&value, "");
    if errors.is_empty() {
        find_nul(&value, &mut Vec::new(), &mut errors);
    }
    if !errors.is_empty() {
        return Err(Problem::with_fields(Code::ValidationFailed, errors));
    }
    schema.write_integers(&mut value);
    serde_path_to_error::deserialize(value).map_err(|error| {
        let pointer = pointer_of(error.path());
        let errors = vec![FieldError::new(pointer, "is not what the schema describes")];
        Problem::with_fields(Code::ValidationFailed, errors)
    })
}

/// A path as a pointer (RFC 6901).
fn pointer_of(path: &Path) -> String {
    path.iter()
        .fold(String::new(), |parent, segment| match segment {
            Segment::Seq { index } => format!("{parent}/{index}"),
            Segment::Map { key } => pointer_to(&parent, key),
            Segment::Enum { .. } | Segment::Unknown => parent,
        })
}

/// A step from a value to one that it contains.
#[derive(Clone, Copy)]
enum Step<'a> {
    Field(&'a str),
    Item(usize),
}

/// PostgreSQL cannot keep U+0000 in a text. The pointers are made for errors only: making one for each value
/// costs the square of the body when a field has a long name.
fn find_nul<'a>(value: &'a Value, path: &mut Vec<Step<'a>>, errors: &mut Vec<FieldError>) {
    if errors.len() >= FieldError::MOST {
        return;
    }
    match value {
        Value::String(text) if text.contains('\0') => errors.push(nul_at(path)),
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                path.push(Step::Item(index));
                find_nul(item, path, errors);
                path.pop();
            }
        }
        Value::Object(fields) => {
            if fields.keys().any(|name| name.contains('\0')) {
                errors.push(nul_at(path));
            }
            for (name, field) in fields {
                path.push(Step::Field(name));
                find_nul(field, path, errors);
                path.pop();
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn nul_at(path: &[Step<'_>]) -> FieldError {
    let pointer = path.iter().fold(String::new(), |parent, step| match step {
        Step::Field(name) => pointer_to(&parent, name),
        Step::Item(index) => format!("{parent}/{index}"),
    });
    FieldError::new(pointer, "must not contain U+0000")
}

/// The schema of a body type, made once.
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
