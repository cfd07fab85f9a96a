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

/// An entry of the audit trail.
#[derive(Serialize, ToSchema)]
#[schema(as = AuditLog)]
pub(crate) struct AuditLogBody {
    /// Identifies the entry.
    log_id: Uuid,
    /// The time of the action.
    timestamp: DateTime<Utc>,
    /// The user who performed the action, even if since deleted; null for the program itself and for
    /// unauthenticated callers.
    user_id: Option<Uuid>,
    /// The action.
    #[schema(example = "command.submit")]
    action: String,
    /// The result: `done`, `refused` or `failed`.
    #[schema(example = "done")]
    result: &'static str,
    /// The type of the entity acted on.
    #[schema(example = "command")]
    entity_type: String,
    /// The entity acted on.
    entity_id: Option<Uuid>,
    /// The vehicle concerned, even if since deleted.
    vehicle_id: Option<Uuid>,
    /// The command concerned, even if since deleted.
    command_id: Option<Uuid>,
    /// Further details.
    #[schema(value_type = Object)]
    details: Value,
    /// The address of the client.
    ip_address: Option<String>,
    /// The `User-Agent` header of the request.
    user_agent: Option<String>,
    /// The `X-Request-ID` of the request; null if no request caused the action.
    request_id: Option<String>,
    /// The position in the hash chain; null until the entry is sealed, about a second after it is stored.
    position: Option<i64>,
    /// SHA-256 of the previous hash and the content of the entry, in hexadecimal; null until it is sealed.
    hash: Option<String>,
}

impl From<AuditRecord> for AuditLogBody {
    fn from(record: AuditRecord) -> Self {
        Self {
            log_id: record.log_id,
            timestamp: record.timestamp,
            user_id: record.user_id.map(|id| id.0),
            action: record.action,
            result: record.result.as_str(),
            entity_type: record.entity_type,
            entity_id: record.entity_id,
            vehicle_id: record.vehicle_id.map(|id| id.0),
            command_id: record.command_id.map(|id| id.0),
            details: record.details,
            ip_address: record.ip_address,
            user_agent: record.user_agent,
            request_id: record.request_id,
            position: record.link.map(|link| link.position),
            hash: record.link.map(|link| link.hash.to_string()),
        }
    }
}
