//! The audit trail.

pub mod chain;
pub mod pruning;

mod list;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use serde_json::Value;
use sovd_domain::AuditEntry;
use uuid::Uuid;

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
        .values(NewLine::of(entry, now))
        .execute(connection)
        .await?;
    Ok(())
}

/// Writes many lines at once.
///
/// # Errors
///
/// When the database is away.
pub async fn insert_all(
    connection: &mut Connection,
    entries: &[AuditEntry],
    now: DateTime<Utc>,
) -> Result<(), StorageError> {
    let lines: Vec<NewLine<'_>> = entries
        .iter()
        .map(|entry| NewLine::of(entry, now))
        .collect();
    diesel::insert_into(audit_logs::table)
        .values(lines)
        .execute(connection)
        .await?;
    Ok(())
}

/// An entry that is written some time after the attempt that it is about.
#[derive(Debug, Clone)]
pub struct LateEntry {
    /// The id of the line. An entry that is written again, because the outcome of the first time is unknown,
    /// is there once.
    pub log_id: Uuid,
    /// The time of the attempt.
    pub at: DateTime<Utc>,
    /// The entry.
    pub entry: AuditEntry,
}

/// Writes entries with a time each, except those that are written already.
///
/// # Errors
///
/// [`StorageError::Dangling`] when the user, vehicle or command of an entry does not exist. Then none of
/// them is written.
pub async fn insert_timed(
    connection: &mut Connection,
    entries: &[LateEntry],
) -> Result<(), StorageError> {
    let lines: Vec<_> = entries
        .iter()
        .map(|late| {
            (
                NewLine::of(&late.entry, late.at),
                audit_logs::log_id.eq(late.log_id),
            )
        })
        .collect();
    diesel::insert_into(audit_logs::table)
        .values(lines)
        .on_conflict(audit_logs::log_id)
        .do_nothing()
        .execute(connection)
        .await?;
    Ok(())
}

/// Writes an entry whose user, vehicle or command may have been deleted. It looks like an entry that was
/// written before the deletion: the references are NULL, and their copies contain the ids.
///
/// # Errors
///
/// When the database is unavailable.
pub async fn insert_detached(
    connection: &mut Connection,
    late: &LateEntry,
) -> Result<(), StorageError> {
    let entry = &late.entry;
    let detached = NewLine {
        user_id: None,
        vehicle_id: None,
        command_id: None,
        ..NewLine::of(entry, late.at)
    };
    diesel::insert_into(audit_logs::table)
        .values((
            detached,
            audit_logs::log_id.eq(late.log_id),
            audit_logs::actor_id.eq(entry.user_id.map(|id| id.0)),
            audit_logs::subject_vehicle_id.eq(entry.vehicle_id.map(|id| id.0)),
            audit_logs::subject_command_id.eq(entry.command_id.map(|id| id.0)),
        ))
        .on_conflict(audit_logs::log_id)
        .do_nothing()
        .execute(connection)
        .await?;
    Ok(())
}

#[derive(Insertable)]
#[diesel(table_name = audit_logs, treat_none_as_default_value = false)]
struct NewLine<'a> {
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

impl<'a> NewLine<'a> {
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
