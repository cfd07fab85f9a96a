use actix_web::{
    get,
    web::{Data, Json},
};
use sovd_domain::CommandId;

use super::CommandBody;
use crate::{
    extract::{Authorized, PathId},
    permissions::ReadOwnCommands,
    problem::{Problem, ProblemBody},
    state::ApiState,
};

/// See a command
#[utoipa::path(
    operation_id = "get_command",
    tag = "commands",
    security(("bearer" = [])),
    params(("command_id" = Uuid, Path, description = "The command")),
    responses(
        (status = 200, description = "The command as it is now", body = CommandBody),
        (status = 400, description = "`malformed_request`: the id is not a UUID",
         body = ProblemBody, content_type = "application/problem+json"),
        (status = 401, description = "No valid token", body = ProblemBody,
         content_type = "application/problem+json"),
        (status = 404, description = "`not_found`: or it is somebody else's",
         body = ProblemBody, content_type = "application/problem+json"),
    ),
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
