use actix_web::{patch, web};
use secrecy::SecretString;
use sovd_domain::{Role, UserId};
use sovd_services::identity::users::UserChange;

use super::UserBody;
use crate::{
    extract::{Authorized, JsonBody, PathId},
    permissions::ManageUsers,
    problem::Problem,
    state::ApiState,
};

request_body! {
    /// The fields to change; absent fields keep their value.
    #[schema(min_properties = 1)]
    ChangeUserRequest as body into UserChange {
        /// An e-mail address of at most 255 characters, stored in lower case.
        #[schema(nullable = false, max_length = 255, format = Email)]
        email: Option<String>,
        /// `admin`, `engineer`, `service`, `manufacturer` or `customer`; a user who owns vehicles must remain a
        /// customer.
        #[schema(nullable = false, value_type = Option<String>, pattern = "^(admin|engineer|service|manufacturer|customer)$")]
        role: Option<Role>,
        /// `true` or `false`: whether the user may log in.
        #[schema(nullable = false)]
        is_active: Option<bool>,
        /// 12 to 128 characters; not the user name or one of the 10,000 most common.
        #[schema(nullable = false, min_length = 12, max_length = 128, value_type = Option<String>, format = Password)]
        password: Option<SecretString>,
    }
}

/// Change a user
///
/// A new role, a new password and `is_active: false` end all sessions of the user, on every server within
/// 5 seconds.
#[utoipa::path(
    operation_id = "change_user",
    tag = "users",
    params(("user_id" = Uuid, Path, description = "The user")),
    request_body = ChangeUserRequest,
    responses(
        (status = 200, description = "The changed user", body = UserBody),
        (status = 409, description = "`conflict`: the address is taken, no active admin would \
                                      remain, or the user owns vehicles and must remain a customer"),
    ),
)]
#[patch("/{user_id}")]
pub(crate) async fn change(
    caller: Authorized<ManageUsers>,
    state: web::Data<ApiState>,
    user_id: PathId<UserId>,
    body: JsonBody<ChangeUserRequest>,
) -> Result<web::Json<UserBody>, Problem> {
    let user = state
        .users
        .change(&caller, user_id.0, body.0.into())
        .await?;
    Ok(web::Json(user.into()))
}
