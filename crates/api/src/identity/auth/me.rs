use actix_web::{get, web::Json};
use serde::Serialize;
use sovd_domain::User;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{extract::Authorized, permissions::Account, problem::Problem};

/// The caller's account.
#[derive(Serialize, ToSchema)]
#[schema(as = Me)]
pub(crate) struct MeBody {
    /// Identifies the user.
    user_id: Uuid,
    /// The name used to log in.
    #[schema(example = "engineer")]
    username: String,
    /// The e-mail address.
    #[schema(example = "engineer@sovd.example.com")]
    email: String,
    /// `admin`, `engineer`, `service`, `manufacturer` or `customer`.
    #[schema(example = "engineer")]
    role: &'static str,
}

/// Get the caller's account
#[utoipa::path(
    operation_id = "get_own_account",
    tag = "auth",
    security(("bearer" = [])),
    responses(
        (status = 200, description = "The account of the caller", body = MeBody),
    ),
)]
#[get("/me")]
pub(crate) async fn me(authorized: Authorized<Account>) -> Result<Json<MeBody>, Problem> {
    Ok(Json(authorized.caller.user.into()))
}

impl From<User> for MeBody {
    fn from(user: User) -> Self {
        Self {
            user_id: user.user_id.0,
            username: user.username,
            email: user.email,
            role: user.role.as_str(),
        }
    }
}
