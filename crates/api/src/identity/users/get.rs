use actix_web::{get, web};
use sovd_domain::UserId;

use super::UserBody;
use crate::{
    extract::{Authorized, PathId},
    permissions::ManageUsers,
    problem::Problem,
    state::ApiState,
};

/// Get a user
#[utoipa::path(
    operation_id = "get_user",
    tag = "users",
    params(("user_id" = Uuid, Path, description = "The user")),
    responses((status = 200, description = "The user", body = UserBody)),
)]
#[get("/{user_id}")]
pub(crate) async fn get_user(
    caller: Authorized<ManageUsers>,
    state: web::Data<ApiState>,
    user_id: PathId<UserId>,
) -> Result<web::Json<UserBody>, Problem> {
    let user = state.users.get(&caller, user_id.0).await?;
    Ok(web::Json(user.into()))
}
