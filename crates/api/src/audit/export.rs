use actix_web::{HttpResponse, get, web::Data};
use chrono::{DateTime, Utc};
use serde::Deserialize;
use sovd_domain::{CommandId, UserId, VehicleId};
use sovd_services::audit::{AuditFilter, ExportFormat};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::download;
use crate::{
    extract::{Authorized, QueryParams, moment},
    permissions::ReadAudit,
    problem::Problem,
    state::ApiState,
};

/// The filter and the format of an export.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExportAuditLogs {
    /// The format of the file.
    #[param(inline)]
    format: FormatParam,
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

/// The format of an export.
#[derive(Clone, Copy, Deserialize, ToSchema)]
#[schema(as = AuditExportFormat)]
#[serde(rename_all = "lowercase")]
pub(crate) enum FormatParam {
    /// Comma-separated values (RFC 4180).
    Csv,
    /// One JSON object on each line.
    Ndjson,
}

impl From<FormatParam> for ExportFormat {
    fn from(format: FormatParam) -> Self {
        match format {
            FormatParam::Csv => Self::Csv,
            FormatParam::Ndjson => Self::Ndjson,
        }
    }
}

/// Export the audit trail
///
/// Returns all matching entries up to the time of the request, newest first, as a file of any size. If
/// the export fails midway, the response ends with a transfer error. Each export is itself audited as
/// `audit.export`. In CSV, fields that start with `=`, `+`, `-`, `@`, a tab or a carriage return are
/// prefixed with an apostrophe, because spreadsheets would evaluate them as formulas; NDJSON is unchanged.
/// Requires the admin role.
#[utoipa::path(
    operation_id = "export_audit_logs",
    tag = "audit",
    params(ExportAuditLogs),
    responses(
        (status = 200, description = "The entries",
         content((String = "text/csv"), (String = "application/x-ndjson")),
         headers(("Content-Disposition" = String))),
        (status = 429, description = "`rate_limited`: too many requests, exports or open \
                                      streams; `Retry-After` contains the delay in seconds"),
    ),
)]
#[get("/export")]
pub(crate) async fn export(
    caller: Authorized<ReadAudit>,
    state: Data<ApiState>,
    query: QueryParams<ExportAuditLogs>,
) -> Result<HttpResponse, Problem> {
    let query = query.0;
    let filter = AuditFilter {
        user_id: query.user_id.map(UserId),
        vehicle_id: query.vehicle_id.map(VehicleId),
        command_id: query.command_id.map(CommandId),
        action: query.action,
        entity_type: query.entity_type,
        start: moment("start_date", query.start_date)?,
        end: moment("end_date", query.end_date)?,
    };
    let slot = state.open_streams.open(caller.user.user_id)?;
    let format = query.format.into();
    let export = state.audit.export(&caller, filter, format).await?;
    Ok(download::respond(&state, export, format, slot))
}
