use actix_web::{get, web};
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
    caller: Authorized<ReadOwnCommands>,
    state: web::Data<ApiState>,
    command_id: PathId<CommandId>,
) -> Result<web::Json<CommandBody>, Problem> {
    let command = state.commands.get(&caller, command_id.0).await?;
    Ok(web::Json(command.into()))
}
