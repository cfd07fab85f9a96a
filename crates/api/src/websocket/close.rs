use actix_ws::{CloseCode, CloseReason};
use sovd_services::{AuthFailure, CredentialWatch, ServiceError};

use crate::{open_streams::TooManyStreams, problem::Problem};

impl From<TooManyStreams> for CloseReason {
    fn from(refusal: TooManyStreams) -> Self {
        let problem = Problem::from(refusal);
        let reason = format!("{}: {}", problem.code.as_str(), problem.detail);
        (CloseCode::Again, reason).into()
    }
}

pub(super) fn close_code(error: &ServiceError) -> CloseCode {
    match error {
        ServiceError::Unavailable(_)
        | ServiceError::RateLimited { .. }
        | ServiceError::TooManyInFlight { .. } => CloseCode::Again,
        ServiceError::Internal(_) => CloseCode::Error,
        ServiceError::NotAuthenticated(_)
        | ServiceError::Forbidden
        | ServiceError::Blocked(_)
        | ServiceError::NotFound { .. }
        | ServiceError::Invalid(_)
        | ServiceError::Conflict { .. }
        | ServiceError::VehicleOffline
        | ServiceError::NotCancellable { .. }
        | ServiceError::IdempotencyMismatch
        | ServiceError::QueueFull { .. }
        | ServiceError::TooManyWaiting { .. } => CloseCode::Policy,
    }
}

pub(super) fn reason(code: CloseCode, problem: &Problem) -> CloseReason {
    if let Some(cause) = &problem.cause {
        tracing::error!(%cause, "failed to open a stream");
    }
    let text = format!("{}: {}", problem.code.as_str(), problem.detail);
    (code, text).into()
}

/// Returns the reason for closing a stream that ended early: the end of the credential, or `otherwise`.
pub(crate) fn premature(credential: &CredentialWatch, otherwise: &str) -> CloseReason {
    if !credential.has_ended() {
        return policy(otherwise);
    }
    let error = ServiceError::from(AuthFailure::SessionRevoked);
    reason(close_code(&error), &error.into())
}

/// Returns a close reason with code 1008 (policy violation, RFC 6455).
pub(crate) fn policy(reason: &str) -> CloseReason {
    (CloseCode::Policy, reason).into()
}
