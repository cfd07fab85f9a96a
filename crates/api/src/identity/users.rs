//! `/api/v1/users`

pub(crate) mod change;
pub(crate) mod create;
pub(crate) mod list;

use actix_web::{HttpResponse, delete, get, web};
use chrono::{DateTime, Utc};
use sovd_domain::{User, UserId};
use uuid::Uuid;

use crate::{
    extract::{Authorized, PathId},
    permissions::ManageUsers,
    problem::Problem,
    state::ApiState,
};

response_body! {
    /// A user.
    #[schema(as = User)]
    UserBody from user: User {
        /// Identifies the user.
        user_id: Uuid = user.user_id.0,
        /// The name used to log in.
        #[schema(example = "engineer")]
        username: String,
        /// The e-mail address.
        #[schema(example = "engineer@sovd.example.com")]
        email: String,
        /// `admin`, `engineer`, `service`, `manufacturer` or `customer`.
        #[schema(example = "engineer")]
        role: &'static str = user.role.as_str(),
        /// Whether the user may log in.
        is_active: bool,
        /// When the account was created.
        created_at: DateTime<Utc>,
    }
}

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
pub(crate) async fn delete_user(
    caller: Authorized<ManageUsers>,
    state: web::Data<ApiState>,
    user_id: PathId<UserId>,
) -> Result<HttpResponse, Problem> {
    state.users.delete(&caller, user_id.0).await?;
    Ok(HttpResponse::NoContent().finish())
}
