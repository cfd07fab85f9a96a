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

/// Which commands.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListCommands {
    /// Those sent to this vehicle.
    vehicle_id: Option<Uuid>,
    /// Those in this state: `pending`, `in_progress`, `completed` or `failed`.
    #[param(value_type = Option<String>, pattern = "^(pending|in_progress|completed|failed)$")]
    status: Option<CommandStatus>,
    /// Those sent by this user. An engineer sees its own only.
    user_id: Option<Uuid>,
    /// Those with this name.
    command_name: Option<String>,
    /// Those submitted at or after this moment (RFC 3339).
    start_date: Option<DateTime<Utc>>,
    /// Those submitted at or before this moment (RFC 3339).
    end_date: Option<DateTime<Utc>>,
    /// How many at most: 1 to 100, 50 when left out.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<i64>,
    /// How many to pass over: 0 or more.
    #[param(minimum = 0)]
    offset: Option<i64>,
}

/// One page of commands.
#[derive(Serialize, ToSchema)]
#[schema(as = CommandList)]
pub(crate) struct CommandListBody {
    /// Newest first.
    commands: Vec<CommandBody>,
    /// How many match in all.
    total: i64,
    /// How many were asked for.
    limit: i64,
    /// How many were passed over.
    offset: i64,
}

/// List commands
///
/// Newest first. An engineer sees its own, an admin all.
#[utoipa::path(
    operation_id = "list_commands",
    tag = "commands",
    security(("bearer" = [])),
    params(ListCommands),
    responses(
        (status = 200, description = "One page of the commands that match",
         body = CommandListBody,
         headers(("X-Total-Count" = i64), ("Link" = String))),
    ),
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
        ..CommandFilter::default()
    };
    let (commands, total) = state
        .commands
        .list(&authorized.caller, filter, page)
        .await?;
    let body = CommandListBody {
        commands: commands.into_iter().map(CommandBody::from).collect(),
        total,
        limit: page.limit(),
        offset: page.offset(),
    };
    Ok(page_of(&request, page, total, body))
}
