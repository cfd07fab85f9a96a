//! `/api/v1/audit-logs`

pub(crate) mod export;
pub(crate) mod list;

mod csv_block;
mod download;

use chrono::{DateTime, Utc};
use serde_json::Value;
use sovd_domain::AuditRecord;
use uuid::Uuid;

response_body! {
    /// An entry of the audit trail.
    #[schema(as = AuditLog)]
    AuditLogBody from record: AuditRecord {
        /// Identifies the entry.
        log_id: Uuid,
        /// The time of the action.
        timestamp: DateTime<Utc>,
        /// The user who performed the action, even if since deleted; null for the program itself and for
        /// unauthenticated callers.
        user_id: Option<Uuid> = record.user_id.map(|id| id.0),
        /// The action.
        #[schema(example = "command.submit")]
        action: String,
        /// The result: `done`, `refused` or `failed`.
        #[schema(example = "done")]
        result: &'static str = record.result.as_str(),
        /// The type of the entity acted on.
        #[schema(example = "command")]
        entity_type: String,
        /// The entity acted on.
        entity_id: Option<Uuid>,
        /// The vehicle concerned, even if since deleted.
        vehicle_id: Option<Uuid> = record.vehicle_id.map(|id| id.0),
        /// The command concerned, even if since deleted.
        command_id: Option<Uuid> = record.command_id.map(|id| id.0),
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
        position: Option<i64> = record.link.map(|link| link.position),
        /// SHA-256 of the previous hash and the content of the entry, in hexadecimal; null until it is sealed.
        hash: Option<String> = record.link.map(|link| link.hash.to_string()),
    }
}
