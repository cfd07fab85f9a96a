use actix_web::{post, web};
use sovd_domain::CommandId;

use super::CommandBody;
use crate::{
    extract::{Authorized, PathId},
    permissions::CancelCommands,
    problem::Problem,
    state::ApiState,
};

/// Cancel a command
///
/// Fails the command before the response is returned: with `cancelled` if it was never sent or only
/// reads, otherwise with `outcome_unknown`, because the vehicle may have executed it.
#[utoipa::path(
    operation_id = "cancel_command",
    tag = "commands",
    params(("command_id" = Uuid, Path, description = "The command")),
    responses(
        (status = 200, description = "The failed command", body = CommandBody),
        (status = 409, description = "`not_cancellable`: it has completed or failed, or the vehicle has responded"),
    ),
)]
#[post("/{command_id}/cancel")]
pub(crate) async fn cancel(
    caller: Authorized<CancelCommands>,
    state: web::Data<ApiState>,
    command_id: PathId<CommandId>,
) -> Result<web::Json<CommandBody>, Problem> {
    let command = state.commands.cancel(&caller, command_id.0).await?;
    Ok(web::Json(command.into()))
}
