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
    problem::{Problem, ProblemBody},
    state::ApiState,
};

/// Which lines, and how.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExportAuditLogs {
    /// How they are written.
    #[param(inline)]
    format: FormatParam,
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
}

/// How an export is written.
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
/// All lines that match, newest first, up to the moment of the request, as a file of any size. An
/// export that could not be finished is cut off: the answer ends with an error and not as a whole one
/// does, so look at what your client says of the transfer. Each export is a line of the trail itself
/// (`audit.export`). In CSV an apostrophe comes before every field that begins with `=`, `+`, `-`, `@`,
/// a tab or a carriage return, because spreadsheets would take it for a formula; NDJSON is unchanged.
/// For admins.
#[utoipa::path(
    operation_id = "export_audit_logs",
    tag = "audit",
    security(("bearer" = [])),
    params(ExportAuditLogs),
    responses(
        (status = 200, description = "The lines",
         content((String = "text/csv"), (String = "application/x-ndjson")),
         headers(("Content-Disposition" = String))),
        (status = 429, description = "`rate_limited`: too many requests, exports or open \
                                      streams; `Retry-After` says when",
         body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
#[get("/export")]
pub(crate) async fn export(
    authorized: Authorized<ReadAudit>,
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
    let caller = &authorized.caller;
    let place = state.open_streams.open(caller.user.user_id)?;
    let format = query.format.into();
    let export = state.audit.export(caller, filter, format).await?;
    Ok(download::answer(&state, export, format, place))
}
