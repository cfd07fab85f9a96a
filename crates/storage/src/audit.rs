//! The audit trail.

pub mod chain;
pub mod pruning;

mod list;

use chrono::{DateTime, Utc};
use diesel::{
    prelude::*,
    sql_types::{Array, Jsonb, Nullable, Text, Timestamptz, Uuid as SqlUuid},
};
use serde_json::Value;
use sovd_domain::AuditEntry;
use uuid::Uuid;

use crate::{Connection, Result, prepared::prepared, schema::audit_logs, statement::Statement};

pub use list::{AuditFilter, list, page};

/// Inserts an entry. Call this in the transaction of the audited change, so that neither is committed
/// without the other.
pub async fn insert(
    connection: &mut Connection,
    entry: &AuditEntry,
    now: DateTime<Utc>,
) -> Result<()> {
    insert_all(connection, [entry], now).await
}

/// Inserts several entries in one statement.
pub async fn insert_all<'a>(
    connection: &mut Connection,
    entries: impl IntoIterator<Item = &'a AuditEntry>,
    now: DateTime<Utc>,
) -> Result<()> {
    let rows: Vec<NewEntry<'_>> = entries
        .into_iter()
        .map(|entry| NewEntry::of(entry, now))
        .collect();
    let rows = || rows.iter();
    prepared!(
        "INSERT INTO audit_logs (user_id, vehicle_id, command_id, action, entity_type, entity_id, details,
                                 ip_address, user_agent, request_id, result, timestamp)
         SELECT *, {} FROM unnest({}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {})",
        Timestamptz = now,
        Array<Nullable<SqlUuid>> = rows().map(|row| row.user_id).collect::<Vec<_>>(),
        Array<Nullable<SqlUuid>> = rows().map(|row| row.vehicle_id).collect::<Vec<_>>(),
        Array<Nullable<SqlUuid>> = rows().map(|row| row.command_id).collect::<Vec<_>>(),
        Array<Text> = rows().map(|row| row.action).collect::<Vec<_>>(),
        Array<Text> = rows().map(|row| row.entity_type).collect::<Vec<_>>(),
        Array<Nullable<SqlUuid>> = rows().map(|row| row.entity_id).collect::<Vec<_>>(),
        Array<Jsonb> = rows().map(|row| row.details).collect::<Vec<_>>(),
        Array<Nullable<Text>> = rows().map(|row| row.ip_address.as_deref()).collect::<Vec<_>>(),
        Array<Nullable<Text>> = rows().map(|row| row.user_agent.as_deref()).collect::<Vec<_>>(),
        Array<Nullable<Text>> = rows().map(|row| row.request_id.as_deref()).collect::<Vec<_>>(),
        Array<Text> = rows().map(|row| row.result).collect::<Vec<_>>(),
    )
    .run(connection)
    .await
}

/// An entry that is stored some time after the attempt that it describes.
#[derive(Debug, Clone)]
pub struct DeferredEntry {
    /// Identifies the entry, so that inserting it again after an unknown outcome has no effect.
    pub log_id: Uuid,
    /// The time of the attempt.
    pub at: DateTime<Utc>,
    /// The entry.
    pub entry: AuditEntry,
}

/// Inserts the entries that are not stored yet.
///
/// # Errors
///
/// Returns `StorageError::Dangling`, and inserts none of the entries, if the user, vehicle or command
/// of an entry does not exist.
pub async fn insert_deferred(connection: &mut Connection, entries: &[DeferredEntry]) -> Result<()> {
    let rows = entries.iter().map(|deferred| {
        (
            NewEntry::of(&deferred.entry, deferred.at),
            audit_logs::log_id.eq(deferred.log_id),
        )
    });
    diesel::insert_into(audit_logs::table)
        .values(rows.collect::<Vec<_>>())
        .on_conflict(audit_logs::log_id)
        .do_nothing()
        .run(connection)
        .await
}

/// Inserts an entry, if it is not stored yet, whose user, vehicle or command may have been deleted. The
/// row equals that of an entry stored before the deletion: the references are NULL, and their copies
/// contain the ids.
pub async fn insert_detached(connection: &mut Connection, deferred: &DeferredEntry) -> Result<()> {
    let entry = &deferred.entry;
    let detached = NewEntry {
        user_id: None,
        vehicle_id: None,
        command_id: None,
        ..NewEntry::of(entry, deferred.at)
    };
    diesel::insert_into(audit_logs::table)
        .values((
            detached,
            audit_logs::log_id.eq(deferred.log_id),
            audit_logs::actor_id.eq(entry.user_id.map(|id| id.0)),
            audit_logs::subject_vehicle_id.eq(entry.vehicle_id.map(|id| id.0)),
            audit_logs::subject_command_id.eq(entry.command_id.map(|id| id.0)),
        ))
        .on_conflict(audit_logs::log_id)
        .do_nothing()
        .run(connection)
        .await
}

#[derive(Insertable)]
#[diesel(table_name = audit_logs, treat_none_as_default_value = false)]
struct NewEntry<'a> {
    user_id: Option<Uuid>,
    vehicle_id: Option<Uuid>,
    command_id: Option<Uuid>,
    action: &'a str,
    entity_type: &'a str,
    entity_id: Option<Uuid>,
    details: &'a Value,
    ip_address: Option<String>,
    user_agent: &'a Option<String>,
    request_id: &'a Option<String>,
    result: &'a str,
    timestamp: DateTime<Utc>,
}

impl<'a> NewEntry<'a> {
    fn of(entry: &'a AuditEntry, now: DateTime<Utc>) -> Self {
        let origin = &entry.origin;
        Self {
            user_id: entry.user_id.map(|id| id.0),
            vehicle_id: entry.vehicle_id.map(|id| id.0),
            command_id: entry.command_id.map(|id| id.0),
            action: entry.action,
            entity_type: entry.entity_type,
            entity_id: entry.entity_id,
            details: &entry.details,
            ip_address: origin.ip_address.map(|address| address.to_string()),
            user_agent: &origin.user_agent,
            request_id: &origin.request_id,
            result: entry.result.as_str(),
            timestamp: now,
        }
    }
}
