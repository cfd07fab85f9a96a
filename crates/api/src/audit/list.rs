use actix_web::{HttpRequest, HttpResponse, get, web::Data};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sovd_domain::{CommandId, UserId, VehicleId};
use sovd_services::audit::AuditFilter;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::AuditLogBody;
use crate::{
    extract::{Authorized, QueryParams, moment, page, page_of},
    permissions::ReadAudit,
    problem::Problem,
    state::ApiState,
};

/// Which lines.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListAuditLogs {
    /// What this user did, also when it was deleted since.
    user_id: Option<Uuid>,
    /// What was done to this vehicle, also when it was deleted since.
    vehicle_id: Option<Uuid>,
    /// What was done to this command, also when it was deleted since.
    command_id: Option<Uuid>,
    /// Where this was done, such as `command.submit`.
    action: Option<String>,
    /// Where it was done to this kind of thing, such as `command`.
    entity_type: Option<String>,
    /// At or after this moment (RFC 3339).
    start_date: Option<DateTime<Utc>>,
    /// At or before this moment (RFC 3339).
    end_date: Option<DateTime<Utc>>,
    /// How many at most: 1 to 100, 50 when left out.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<i64>,
    /// How many to pass over: 0 or more.
    #[param(minimum = 0)]
    offset: Option<i64>,
}

/// One page of the audit trail.
#[derive(Serialize, ToSchema)]
#[schema(as = AuditLogList)]
pub(crate) struct AuditLogListBody {
    /// Newest first.
    audit_logs: Vec<AuditLogBody>,
    /// How many match in all.
    total: i64,
    /// How many were asked for.
    limit: i64,
    /// How many were passed over.
    offset: i64,
}

/// List the audit trail
///
/// Newest first. For admins.
#[utoipa::path(
    operation_id = "list_audit_logs",
    tag = "audit",
    security(("bearer" = [])),
    params(ListAuditLogs),
    responses(
        (status = 200, description = "One page of the lines that match",
         body = AuditLogListBody,
         headers(("X-Total-Count" = i64), ("Link" = String))),
    ),
)]
#[get("")]
pub(crate) async fn list(
    request: HttpRequest,
    authorized: Authorized<ReadAudit>,
    state: Data<ApiState>,
    query: QueryParams<ListAuditLogs>,
) -> Result<HttpResponse, Problem> {
    let query = query.0;
    let page = page(query.limit, query.offset)?;
    let filter = AuditFilter {
        user_id: query.user_id.map(UserId),
        vehicle_id: query.vehicle_id.map(VehicleId),
        command_id: query.command_id.map(CommandId),
        action: query.action,
        entity_type: query.entity_type,
        start: moment("start_date", query.start_date)?,
        end: moment("end_date", query.end_date)?,
    };
    let (lines, total) = state.audit.list(&authorized.caller, &filter, page).await?;
    let body = AuditLogListBody {
        audit_logs: lines.into_iter().map(AuditLogBody::from).collect(),
        total,
        limit: page.limit(),
        offset: page.offset(),
    };
    Ok(page_of(&request, page, total, body))
}
