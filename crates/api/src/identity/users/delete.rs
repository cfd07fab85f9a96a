use actix_web::{HttpResponse, delete, web::Data};
use sovd_domain::UserId;

use crate::{
    extract::{Authorized, PathId},
    permissions::ManageUsers,
    problem::{Problem, ProblemBody},
    state::ApiState,
};

/// Delete a user
///
/// With all that is theirs: sessions, commands and answers. The audit trail stays. To keep the
/// history, disable the user instead.
#[utoipa::path(
    operation_id = "delete_user",
    tag = "users",
    security(("bearer" = [])),
    params(("user_id" = Uuid, Path, description = "The user")),
    responses(
        (status = 204, description = "It is deleted"),
        (status = 409, description = "`conflict`: no active admin would be left, or commands of the \
                                      user have not ended",
         body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
#[delete("/{user_id}")]
pub(crate) async fn delete(
    authorized: Authorized<ManageUsers>,
    state: Data<ApiState>,
    user_id: PathId<UserId>,
) -> Result<HttpResponse, Problem> {
    state.users.delete(&authorized.caller, user_id.0).await?;
    Ok(HttpResponse::NoContent().finish())
}
