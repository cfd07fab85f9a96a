use actix_web::{
    get,
    web::{Data, Json},
};
use sovd_domain::CommandId;

use super::CommandBody;
use crate::{
    extract::{Authorized, PathId},
    permissions::ReadOwnCommands,
    problem::Problem,
    state::ApiState,
};

/// Get a command
#[utoipa::path(
    operation_id = "get_command",
    tag = "commands",
    params(("command_id" = Uuid, Path, description = "The command")),
    responses((status = 200, description = "The command", body = CommandBody)),
)]
#[get("/{command_id}")]
pub(crate) async fn get_command(
    authorized: Authorized<ReadOwnCommands>,
    state: Data<ApiState>,
    command_id: PathId<CommandId>,
) -> Result<Json<CommandBody>, Problem> {
    let command = state.commands.get(&authorized.caller, command_id.0).await?;
    Ok(Json(command.into()))
}
