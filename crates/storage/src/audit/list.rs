use chrono::{DateTime, Utc};
use diesel::{pg::Pg, prelude::*};
use serde_json::Value;
use sovd_domain::{
    AuditRecord, CommandId, Listing, Page, UserId, VehicleId,
    audit::{ChainHash, Link},
    paging::AuditKey,
};
use uuid::Uuid;

use crate::{
    Connection, Result, StorageError,
    filters::filter_some,
    rows::restore,
    schema::audit_logs,
    statement::{Statement, after_time, capped_count},
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

/// Returns a page of the matching entries, newest first.
///
/// A page of all entries, or of one user, vehicle, command, action or entity type, is an index scan in list
/// order.
pub async fn list(
    connection: &mut Connection,
    filter: &AuditFilter,
    page: Page<AuditKey>,
) -> Result<Listing<AuditRecord>> {
    let mut listing = Listing::new(Vec::new(), page.limit(), 0);
    for references in References::of(filter) {
        let count = capped_count(matching(filter, references));
        let is_entire = *filter == AuditFilter::default();
        listing = newest_first(filter, references, page.key())
            .select(AuditRow::as_select())
            .fetch_page(connection, count.of_entire("audit_logs", is_entire), &page)
            .await?;
        if listing.total > 0 {
            break;
        }
    }
    Ok(listing)
}

/// Returns up to `limit` matching entries after the key, newest first.
pub async fn page(
    connection: &mut Connection,
    filter: &AuditFilter,
    after: Option<AuditKey>,
    limit: i64,
) -> Result<Vec<AuditRecord>> {
    let mut entries = Vec::new();
    for references in References::of(filter) {
        entries = newest_first(filter, references, after.as_ref())
            .select(AuditRow::as_select())
            .limit(limit)
            .fetch_all(connection)
            .await?;
        if !entries.is_empty() {
            break;
        }
    }
    Ok(entries)
}

/// Which of the user, the vehicle and the command of a filter are deleted.
///
/// A deletion sets the references in all entries to NULL, so either all entries of the object have the
/// reference, or all have only its copy. Each has an index in list order. One statement for both could not
/// use the order of either.
#[derive(Debug, Clone, Copy)]
struct References {
    user_is_deleted: bool,
    vehicle_is_deleted: bool,
    command_is_deleted: bool,
}

impl References {
    /// Returns the possible combinations, with existing objects first.
    fn of(filter: &AuditFilter) -> impl Iterator<Item = Self> + Send + use<> {
        let states = |is_set: bool| if is_set { &[false, true][..] } else { &[false] };
        let users = states(filter.user_id.is_some());
        let vehicles = states(filter.vehicle_id.is_some());
        let commands = states(filter.command_id.is_some());
        users.iter().flat_map(move |&user_is_deleted| {
            vehicles.iter().flat_map(move |&vehicle_is_deleted| {
                commands.iter().map(move |&command_is_deleted| Self {
                    user_is_deleted,
                    vehicle_is_deleted,
                    command_is_deleted,
                })
            })
        })
    }
}

fn newest_first<'a>(
    filter: &'a AuditFilter,
    references: References,
    after: Option<&AuditKey>,
) -> audit_logs::BoxedQuery<'a, Pg> {
    let mut query = matching(filter, references);
    after_time!(query, audit_logs::timestamp, audit_logs::log_id, after);
    query.order((audit_logs::timestamp.desc(), audit_logs::log_id.desc()))
}

fn matching(filter: &AuditFilter, references: References) -> audit_logs::BoxedQuery<'_, Pg> {
    let mut query = audit_logs::table.into_boxed();
    /// Filters by a reference or, if its object is deleted, by its copy.
    macro_rules! filter_reference {
        ($id:expr, $is_deleted:expr, $reference:ident, $copy:ident) => {
            if let Some(id) = $id {
                query = if $is_deleted {
                    let deleted = audit_logs::$reference.is_null();
                    query.filter(deleted.and(audit_logs::$copy.eq(id)))
                } else {
                    query.filter(audit_logs::$reference.eq(id))
                };
            }
        };
    }
    let user_id = filter.user_id.map(|id| id.0);
    filter_reference!(user_id, references.user_is_deleted, user_id, actor_id);
    let vehicle_id = filter.vehicle_id.map(|id| id.0);
    filter_reference!(
        vehicle_id,
        references.vehicle_is_deleted,
        vehicle_id,
        subject_vehicle_id
    );
    let command_id = filter.command_id.map(|id| id.0);
    filter_reference!(
        command_id,
        references.command_is_deleted,
        command_id,
        subject_command_id
    );
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
