use actix_web::{HttpResponse, delete, web::Data};
use sovd_domain::UserId;

use crate::{
    extract::{Authorized, PathId},
    permissions::ManageUsers,
    problem::Problem,
    state::ApiState,
};

/// Delete a user
///
/// Deletes the user with their sessions, commands, responses and vehicles, but keeps the audit trail. To
/// keep the history, disable the user instead.
#[utoipa::path(
    operation_id = "delete_user",
    tag = "users",
    params(("user_id" = Uuid, Path, description = "The user")),
    responses(
        (status = 204, description = "The user is deleted"),
        (status = 409, description = "`conflict`: no active admin would remain, or commands of the \
                                      user, or to their vehicles, have not ended"),
    ),
)]
#[delete("/{user_id}")]
pub(crate) async fn delete(
    caller: Authorized<ManageUsers>,
    state: Data<ApiState>,
    user_id: PathId<UserId>,
) -> Result<HttpResponse, Problem> {
    state.users.delete(&caller, user_id.0).await?;
    Ok(HttpResponse::NoContent().finish())
}
