use actix_web::{HttpResponse, get, web::Data};
use chrono::{DateTime, Utc};
use serde::Serialize;
use sovd_domain::{CommandStatus, UserId, VehicleId};
use sovd_services::commands::CommandFilter;
use utoipa::ToSchema;
use uuid::Uuid;

use super::CommandBody;
use crate::{
    extract::{Authorized, ListQuery, list_query, moment},
    permissions::ReadOwnCommands,
    problem::Problem,
    state::ApiState,
};

list_query! {
    /// The commands to list.
    ListCommands by CommandKey {
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
    }
}

/// A page of commands.
#[derive(Serialize, ToSchema)]
#[schema(as = CommandList)]
pub(crate) struct CommandListBody {
    /// The commands, newest first.
    commands: Vec<CommandBody>,
    /// Total number of matching items, at most 10,000.
    total: i64,
    /// Whether there are more matching items than `total`.
    total_is_capped: bool,
    /// The requested maximum number of items.
    limit: i64,
    /// The number of items skipped; 0 with a cursor.
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
    caller: Authorized<ReadOwnCommands>,
    state: Data<ApiState>,
    request: ListQuery<ListCommands>,
) -> Result<HttpResponse, Problem> {
    let ListQuery {
        query,
        page,
        paging,
    } = request;
    let filter = CommandFilter {
        user_id: query.user_id.map(UserId),
        vehicle_id: query.vehicle_id.map(VehicleId),
        status: query.status,
        command_name: query.command_name,
        start: moment("start_date", query.start_date)?,
        end: moment("end_date", query.end_date)?,
    };
    let listing = state.commands.list(&caller, &filter, page).await?;
    let mut response = paging.response(&listing);
    let body = CommandListBody {
        commands: listing.items.into_iter().map(CommandBody::from).collect(),
        total: listing.total,
        total_is_capped: listing.total_is_capped,
        limit: paging.limit(),
        offset: paging.offset(),
    };
    Ok(response.json(body))
}
