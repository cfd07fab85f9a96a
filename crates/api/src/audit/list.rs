use actix_web::{HttpResponse, get, web::Data};
use chrono::{DateTime, Utc};
use serde::Serialize;
use sovd_domain::{CommandId, UserId, VehicleId};
use sovd_services::audit::AuditFilter;
use utoipa::ToSchema;
use uuid::Uuid;

use super::AuditLogBody;
use crate::{
    extract::{Authorized, ListQuery, list_query, moment},
    permissions::ReadAudit,
    problem::Problem,
    state::ApiState,
};

list_query! {
    /// The entries to list.
    ListAuditLogs by AuditKey {
        /// By this user, even if since deleted.
        user_id: Option<Uuid>,
        /// About this vehicle, even if since deleted.
        vehicle_id: Option<Uuid>,
        /// About this command, even if since deleted.
        command_id: Option<Uuid>,
        /// With this action, such as `command.submit`.
        action: Option<String>,
        /// With this entity type, such as `command`.
        entity_type: Option<String>,
        /// At or after this time (RFC 3339).
        start_date: Option<DateTime<Utc>>,
        /// At or before this time (RFC 3339).
        end_date: Option<DateTime<Utc>>,
    }
}

/// A page of the audit trail.
#[derive(Serialize, ToSchema)]
#[schema(as = AuditLogList)]
pub(crate) struct AuditLogListBody {
    /// The entries, newest first.
    audit_logs: Vec<AuditLogBody>,
    /// Total number of matching items, at most 10,000.
    total: i64,
    /// Whether there are more matching items than `total`.
    total_is_capped: bool,
    /// The requested maximum number of items.
    limit: i64,
    /// The number of items skipped; 0 with a cursor.
    offset: i64,
}

/// List the audit trail
///
/// Returns a page of entries, newest first. Requires the admin role.
#[utoipa::path(
    operation_id = "list_audit_logs",
    tag = "audit",
    params(ListAuditLogs),
    responses((status = 200, description = "A page of matching entries", body = AuditLogListBody)),
)]
#[get("")]
pub(crate) async fn list(
    caller: Authorized<ReadAudit>,
    state: Data<ApiState>,
    request: ListQuery<ListAuditLogs>,
) -> Result<HttpResponse, Problem> {
    let ListQuery {
        query,
        page,
        paging,
    } = request;
    let filter = AuditFilter {
        user_id: query.user_id.map(UserId),
        vehicle_id: query.vehicle_id.map(VehicleId),
        command_id: query.command_id.map(CommandId),
        action: query.action,
        entity_type: query.entity_type,
        start: moment("start_date", query.start_date)?,
        end: moment("end_date", query.end_date)?,
    };
    let listing = state.audit.list(&caller, &filter, page).await?;
    let mut response = paging.response(&listing);
    let body = AuditLogListBody {
        audit_logs: listing.items.into_iter().map(AuditLogBody::from).collect(),
        total: listing.total,
        total_is_capped: listing.total_is_capped,
        limit: paging.limit(),
        offset: paging.offset(),
    };
    Ok(response.json(body))
}
