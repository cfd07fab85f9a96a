//! Problem details (RFC 9457), the format of every error response.

mod code;
mod layer;

use std::{fmt, time::Duration};

use actix_web::{
    HttpResponse, ResponseError,
    http::{
        StatusCode,
        header::{ACCEPT, ACCEPT_ENCODING, HeaderName, HeaderValue},
    },
};
use serde::Serialize;
use sovd_domain::FieldError;
use sovd_services::{AuthFailure, ServiceError};
use utoipa::ToSchema;

pub(crate) use code::Code;
pub(crate) use layer::render_problems;

/// The `Retry-After` while the database is unavailable.
const DATABASE_RETRY: Duration = Duration::from_secs(2);

/// An error that is not yet related to a request.
#[derive(Debug, Clone)]
pub(crate) struct Problem {
    pub(crate) code: Code,
    pub(crate) detail: String,
    pub(crate) errors: Vec<FieldError>,
    /// The cause, which is logged and not sent to the client.
    pub(crate) cause: Option<String>,
    /// The delay after which a retry may succeed.
    pub(crate) retry_after: Option<Duration>,
    /// The supported format of a body with status 415.
    pub(crate) supported: Option<Supported>,
}

/// A supported body format, which a 415 response names (RFC 9110, section 15.5.16).
#[derive(Debug, Clone, Copy)]
pub(crate) enum Supported {
    /// The media type.
    Json,
    /// The content coding.
    Identity,
}

impl Supported {
    fn header(self) -> (HeaderName, HeaderValue) {
        match self {
            Self::Json => (ACCEPT, HeaderValue::from_static("application/json")),
            Self::Identity => (ACCEPT_ENCODING, HeaderValue::from_static("identity")),
        }
    }
}

impl Problem {
    pub(crate) fn new(code: Code, detail: impl Into<String>) -> Self {
        Self {
            code,
            detail: detail.into(),
            errors: Vec::new(),
            cause: None,
            retry_after: None,
            supported: None,
        }
    }

    /// Creates a problem with the first [`FieldError::MOST`] of `errors`.
    pub(crate) fn with_fields(code: Code, mut errors: Vec<FieldError>) -> Self {
        let detail = match errors.len() {
            1 => "1 field is invalid".to_owned(),
            count if count < FieldError::MOST => format!("{count} fields are invalid"),
            _ => format!("{} fields or more are invalid", FieldError::MOST),
        };
        errors.truncate(FieldError::MOST);
        for error in &mut errors {
            shorten(&mut error.pointer);
        }
        Self {
            errors,
            ..Self::new(code, detail)
        }
    }

    fn internal(cause: String) -> Self {
        let detail = "something went wrong here; the correlation id helps to find it";
        Self {
            cause: Some(cause),
            ..Self::new(Code::Internal, detail)
        }
    }
}

/// The longest pointer or name from a client's input that a problem repeats, in characters.
const LONGEST_POINTER: usize = 256;

/// Truncates text chosen by a client, so that a response does not grow with the request.
pub(crate) fn shorten(text: &mut String) {
    if let Some((end, _)) = text.char_indices().nth(LONGEST_POINTER) {
        text.truncate(end);
        text.push('…');
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code.as_str(), self.detail)
    }
}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        self.code.status()
    }

    /// Returns an empty response that carries the problem to [`render_problems`].
    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::new(self.status_code());
        response.extensions_mut().insert(self.clone());
        response
    }
}

impl From<ServiceError> for Problem {
    fn from(error: ServiceError) -> Self {
        match error {
            ServiceError::NotAuthenticated(failure) => {
                let code = match failure {
                    AuthFailure::MissingToken => Code::NotAuthenticated,
                    AuthFailure::InvalidCredentials => Code::InvalidCredentials,
                    AuthFailure::TokenExpired => Code::TokenExpired,
                    AuthFailure::TokenInvalid => Code::TokenInvalid,
                    AuthFailure::SessionRevoked => Code::SessionRevoked,
                    AuthFailure::AccountDisabled => Code::AccountDisabled,
                };
                Self::new(code, failure.to_string())
            }
            ServiceError::Forbidden | ServiceError::Blocked(_) => {
                Self::new(Code::Forbidden, error.to_string())
            }
            ServiceError::NotFound { what, pointer } => {
                let detail = format!("there is no such {what}");
                let errors = pointer
                    .map(|pointer| FieldError::new(pointer, detail.clone()))
                    .into_iter();
                Self {
                    errors: errors.collect(),
                    ..Self::new(Code::NotFound, detail)
                }
            }
            ServiceError::Conflict { reason, pointer } => {
                let errors = pointer.map(|pointer| FieldError::new(pointer, reason));
                Self {
                    errors: errors.into_iter().collect(),
                    ..Self::new(Code::Conflict, reason)
                }
            }
            ServiceError::Invalid(errors) => Self::with_fields(Code::ValidationFailed, errors),
            ServiceError::NotCancellable { .. } => {
                Self::new(Code::NotCancellable, error.to_string())
            }
            ServiceError::IdempotencyMismatch => {
                Self::new(Code::IdempotencyMismatch, error.to_string())
            }
            ServiceError::VehicleOffline => Self::new(Code::VehicleOffline, error.to_string()),
            ServiceError::QueueFull { .. } => Self::new(Code::QueueFull, error.to_string()),
            ServiceError::RateLimited { retry_after }
            | ServiceError::TooManyInFlight { retry_after, .. }
            | ServiceError::TooManyWaiting { retry_after, .. } => Self {
                retry_after: Some(retry_after),
                ..Self::new(Code::RateLimited, error.to_string())
            },
            ServiceError::Unavailable(cause) => Self {
                cause: Some(chain(&cause)),
                retry_after: Some(DATABASE_RETRY),
                ..Self::new(
                    Code::Unavailable,
                    "the database does not answer in time; try again later. A change may have taken \
                     effect: repeat a submission with its Idempotency-Key",
                )
            },
            ServiceError::Internal(cause) => Self::internal(chain(cause.as_ref())),
        }
    }
}

/// Formats an error with all of its causes, for the log.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}

/// Problem details (RFC 9457).
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub(crate) struct ProblemBody {
    /// URI reference of the problem type.
    #[schema(example = "/problems/validation_failed")]
    r#type: String,
    /// Human-readable summary of the problem type.
    title: String,
    /// The HTTP status.
    status: u16,
    /// Human-readable explanation of this occurrence.
    detail: String,
    /// Path of the request.
    instance: String,
    /// Machine-readable problem type.
    #[schema(example = "validation_failed")]
    code: String,
    /// Request id, which the log contains too.
    correlation_id: String,
    /// Invalid fields; omitted if no field is invalid.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<FieldErrorBody>,
}

/// An invalid field.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = FieldError)]
pub(crate) struct FieldErrorBody {
    /// JSON pointer to the field (RFC 6901).
    #[schema(example = "/command_params/ecuAddress")]
    pointer: String,
    /// The accepted values.
    detail: String,
}
