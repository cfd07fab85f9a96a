use actix_web::{HttpRequest, HttpResponse, get, web::Data};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sovd_domain::{CommandStatus, UserId, VehicleId};
use sovd_services::commands::CommandFilter;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::CommandBody;
use crate::{
    extract::{Authorized, QueryParams, moment, page, page_of},
    permissions::ReadOwnCommands,
    problem::Problem,
    state::ApiState,
};

/// The commands to list.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListCommands {
    /// For this vehicle.
    vehicle_id: Option<Uuid>,
    /// In this state: `pending`, `in_progress`, `completed` or `failed`.
    #[param(value_type = Option<String>, pattern = "^(pending|in_progress|completed|failed)$")]
    status: Option<CommandStatus>,
    /// Submitted by this user. Only admins can list commands of other users.
    user_id: Option<Uuid>,
    /// With this name.
    command_name: Option<String>,
    /// Submitted at or after this time (RFC 3339).
    start_date: Option<DateTime<Utc>>,
    /// Submitted at or before this time (RFC 3339).
    end_date: Option<DateTime<Utc>>,
    /// Maximum number of items: 1 to 100; default 50.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<i64>,
    /// Number of items to skip: 0 or more; default 0.
    #[param(minimum = 0)]
    offset: Option<i64>,
}

/// A page of commands.
#[derive(Serialize, ToSchema)]
#[schema(as = CommandList)]
pub(crate) struct CommandListBody {
    /// The commands, newest first.
    commands: Vec<CommandBody>,
    /// Total number of matching items.
    total: i64,
    /// The requested maximum number of items.
    limit: i64,
    /// The number of items skipped.
    offset: i64,
}

/// List commands
///
/// Returns a page of commands, newest first. Admins see all commands, other users their own.
#[utoipa::path(
    operation_id = "list_commands",
    tag = "commands",
    params(ListCommands),
    responses((status = 200, description = "A page of matching commands", body = CommandListBody)),
)]
#[get("")]
pub(crate) async fn list(
    request: HttpRequest,
    authorized: Authorized<ReadOwnCommands>,
    state: Data<ApiState>,
    query: QueryParams<ListCommands>,
) -> Result<HttpResponse, Problem> {
    let query = query.0;
    let page = page(query.limit, query.offset)?;
    let filter = CommandFilter {
        user_id: query.user_id.map(UserId),
        vehicle_id: query.vehicle_id.map(VehicleId),
        status: query.status,
        command_name: query.command_name,
        start: moment("start_date", query.start_date)?,
        end: moment("end_date", query.end_date)?,
    };
    let (commands, total) = state
        .commands
        .list(&authorized.caller, &filter, page)
        .await?;
    let body = CommandListBody {
        commands: commands.into_iter().map(CommandBody::from).collect(),
        total,
        limit: page.limit(),
        offset: page.offset(),
    };
    Ok(page_of(&request, page, total, body))
}
