//! The audit trail.

pub mod chain;
pub mod cut;

mod list;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use sovd_domain::AuditEntry;

use crate::{Connection, StorageError, schema::audit_logs};

pub use list::{AuditFilter, Place, list, page};

/// Writes a line. Call it in the transaction of the change, so that neither is without the other.
///
/// # Errors
///
/// When the database is away.
pub async fn insert(
    connection: &mut Connection,
    entry: &AuditEntry,
    now: DateTime<Utc>,
) -> Result<(), StorageError> {
    diesel::insert_into(audit_logs::table)
        .values((
            audit_logs::user_id.eq(entry.user_id.map(|id| id.0)),
            audit_logs::vehicle_id.eq(entry.vehicle_id.map(|id| id.0)),
            audit_logs::command_id.eq(entry.command_id.map(|id| id.0)),
            audit_logs::action.eq(entry.action),
            audit_logs::entity_type.eq(entry.entity_type),
            audit_logs::entity_id.eq(entry.entity_id),
            audit_logs::details.eq(&entry.details),
            audit_logs::ip_address.eq(entry.origin.ip_address.map(|address| address.to_string())),
            audit_logs::user_agent.eq(&entry.origin.user_agent),
            audit_logs::request_id.eq(&entry.origin.request_id),
            audit_logs::result.eq(entry.result.as_str()),
            audit_logs::timestamp.eq(now),
        ))
        .execute(connection)
        .await?;
    Ok(())
}
