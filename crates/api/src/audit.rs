//! `/api/v1/audit-logs`

pub(crate) mod export;
pub(crate) mod list;

mod csv_block;
mod download;

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use sovd_domain::AuditRecord;
use utoipa::ToSchema;
use uuid::Uuid;

/// One line of the audit trail.
#[derive(Serialize, ToSchema)]
#[schema(as = AuditLog)]
pub(crate) struct AuditLogBody {
    /// Identifies the line.
    log_id: Uuid,
    /// When it was done.
    timestamp: DateTime<Utc>,
    /// Who did it, also when the user was deleted since; null for the program itself or a stranger.
    user_id: Option<Uuid>,
    /// What was done.
    #[schema(example = "command.submit")]
    action: String,
    /// What came of it: `done`, `refused` or `failed`.
    #[schema(example = "done")]
    result: &'static str,
    /// The kind of thing it was done to.
    #[schema(example = "command")]
    entity_type: String,
    /// The thing it was done to.
    entity_id: Option<Uuid>,
    /// The vehicle concerned, also when it was deleted since.
    vehicle_id: Option<Uuid>,
    /// The command concerned, also when it was deleted since.
    command_id: Option<Uuid>,
    /// Whatever else tells the story.
    #[schema(value_type = Object)]
    details: Value,
    /// Where the request came from.
    ip_address: Option<String>,
    /// What the client called itself.
    user_agent: Option<String>,
    /// The `X-Request-ID` of the request; null when no request caused it.
    request_id: Option<String>,
    /// The place in the chain; null until the line is sealed, about a second after it was written.
    position: Option<i64>,
    /// SHA-256 over the line and the hash before, in hexadecimal digits; null until it is sealed.
    hash: Option<String>,
}

impl From<AuditRecord> for AuditLogBody {
    fn from(line: AuditRecord) -> Self {
        Self {
            log_id: line.log_id,
            timestamp: line.timestamp,
            user_id: line.user_id.map(|id| id.0),
            action: line.action,
            result: line.result.as_str(),
            entity_type: line.entity_type,
            entity_id: line.entity_id,
            vehicle_id: line.vehicle_id.map(|id| id.0),
            command_id: line.command_id.map(|id| id.0),
            details: line.details,
            ip_address: line.ip_address,
            user_agent: line.user_agent,
            request_id: line.request_id,
            position: line.link.map(|link| link.position),
            hash: line.link.map(|link| link.hash.to_string()),
        }
    }
}
