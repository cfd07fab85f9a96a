//! The audit trail.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use serde_json::{Value, json};
use sovd_domain::AuditEntry;

use crate::{Connection, StorageError, schema::audit_logs};

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
            audit_logs::details.eq(details(entry)),
            audit_logs::ip_address.eq(entry.origin.ip_address.map(|address| address.to_string())),
            audit_logs::user_agent.eq(&entry.origin.user_agent),
            audit_logs::timestamp.eq(now),
        ))
        .execute(connection)
        .await?;
    Ok(())
}

/// The published table has no column for the request id; the details are its place.
fn details(entry: &AuditEntry) -> Value {
    let mut details = entry.details.clone();
    if let (Some(fields), Some(request_id)) =
        (details.as_object_mut(), entry.origin.request_id.as_ref())
    {
        fields.insert("request_id".to_owned(), json!(request_id));
    }
    details
}
