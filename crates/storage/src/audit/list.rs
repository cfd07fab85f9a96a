use chrono::{DateTime, Utc};
use diesel::{
    pg::Pg,
    prelude::*,
    sql_types::{Record, Timestamptz, Uuid as SqlUuid},
};
use serde_json::Value;
use sovd_domain::{
    AuditRecord, CommandId, Page, UserId, VehicleId,
    audit::{ChainHash, Link},
};
use uuid::Uuid;

use crate::{
    Connection, Result, StorageError, filters::filter_some, rows::restore, schema::audit_logs,
    statement::Statement,
};

/// The entries to list. Fields that are not set match all entries.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AuditFilter {
    /// By this user, even if since deleted.
    pub user_id: Option<UserId>,
    /// About this vehicle, even if since deleted.
    pub vehicle_id: Option<VehicleId>,
    /// About this command, even if since deleted.
    pub command_id: Option<CommandId>,
    /// With this action.
    pub action: Option<String>,
    /// With this entity type.
    pub entity_type: Option<String>,
    /// At or after this time.
    pub start: Option<DateTime<Utc>>,
    /// At or before this time.
    pub end: Option<DateTime<Utc>>,
}

/// The position of an entry in the list, for keyset pagination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    timestamp: DateTime<Utc>,
    log_id: Uuid,
}

impl From<&AuditRecord> for Cursor {
    fn from(record: &AuditRecord) -> Self {
        Self {
            timestamp: record.timestamp,
            log_id: record.log_id,
        }
    }
}

/// Returns a page of the matching entries, newest first, and the total number of matches.
pub async fn list(
    connection: &mut Connection,
    filter: &AuditFilter,
    page: Page,
) -> Result<(Vec<AuditRecord>, i64)> {
    newest_first(filter)
        .select(AuditRow::as_select())
        .fetch_page(connection, matching(filter).count(), page)
        .await
}

/// Returns up to `limit` matching entries after the cursor, newest first. Unlike those of [`list`], the
/// pages do not shift when entries are inserted.
pub async fn page(
    connection: &mut Connection,
    filter: &AuditFilter,
    after: Option<Cursor>,
    limit: i64,
) -> Result<Vec<AuditRecord>> {
    let mut query = newest_first(filter).limit(limit);
    if let Some(after) = after {
        // A row comparison makes the index scan start exactly after the cursor. With separate conditions
        // it would start at the first of all entries with the same timestamp.
        query = query.filter(
            (audit_logs::timestamp, audit_logs::log_id)
                .into_sql::<Record<(Timestamptz, SqlUuid)>>()
                .lt((after.timestamp, after.log_id)),
        );
    }
    query
        .select(AuditRow::as_select())
        .fetch_all(connection)
        .await
}

fn newest_first(filter: &AuditFilter) -> audit_logs::BoxedQuery<'_, Pg> {
    matching(filter).order((audit_logs::timestamp.desc(), audit_logs::log_id.desc()))
}

/// If a reference is NULL, its copy is compared instead. Each of the two has an index.
fn matching(filter: &AuditFilter) -> audit_logs::BoxedQuery<'_, Pg> {
    let mut query = audit_logs::table.into_boxed();
    if let Some(UserId(id)) = filter.user_id {
        let deleted = audit_logs::user_id.is_null();
        let deleted = deleted.and(audit_logs::actor_id.eq(id));
        query = query.filter(audit_logs::user_id.eq(id).or(deleted));
    }
    if let Some(VehicleId(id)) = filter.vehicle_id {
        let deleted = audit_logs::vehicle_id.is_null();
        let deleted = deleted.and(audit_logs::subject_vehicle_id.eq(id));
        query = query.filter(audit_logs::vehicle_id.eq(id).or(deleted));
    }
    if let Some(CommandId(id)) = filter.command_id {
        let deleted = audit_logs::command_id.is_null();
        let deleted = deleted.and(audit_logs::subject_command_id.eq(id));
        query = query.filter(audit_logs::command_id.eq(id).or(deleted));
    }
    filter_some!(
        query,
        audit_logs::action.eq(filter.action.as_ref()),
        audit_logs::entity_type.eq(filter.entity_type.as_ref()),
        audit_logs::timestamp.ge(filter.start),
        audit_logs::timestamp.le(filter.end),
    );
    query
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = audit_logs, check_for_backend(Pg))]
struct AuditRow {
    log_id: Uuid,
    action: String,
    result: String,
    entity_type: String,
    entity_id: Option<Uuid>,
    actor_id: Option<Uuid>,
    subject_vehicle_id: Option<Uuid>,
    subject_command_id: Option<Uuid>,
    details: Option<Value>,
    ip_address: Option<String>,
    user_agent: Option<String>,
    request_id: Option<String>,
    timestamp: DateTime<Utc>,
    position: Option<i64>,
    hash: Option<Vec<u8>>,
}

impl TryFrom<AuditRow> for AuditRecord {
    type Error = StorageError;

    fn try_from(row: AuditRow) -> Result<Self> {
        let id = row.log_id;
        let hash = row.hash.as_deref().map(ChainHash::try_from).transpose();
        let hash = hash.map_err(|error| StorageError::corrupt("audit_logs", "hash", id, error))?;
        let link = row.position.zip(hash);
        Ok(Self {
            log_id: id,
            result: restore(row.result, "audit_logs", "result", id)?,
            action: row.action,
            entity_type: row.entity_type,
            entity_id: row.entity_id,
            user_id: row.actor_id.map(UserId),
            vehicle_id: row.subject_vehicle_id.map(VehicleId),
            command_id: row.subject_command_id.map(CommandId),
            details: row.details.unwrap_or_default(),
            ip_address: row.ip_address,
            user_agent: row.user_agent,
            request_id: row.request_id,
            timestamp: row.timestamp,
            link: link.map(|(position, hash)| Link { position, hash }),
        })
    }
}
