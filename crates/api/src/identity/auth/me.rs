use actix_web::{get, web::Json};
use sovd_domain::User;
use uuid::Uuid;

use crate::{extract::Authorized, permissions::Account, problem::Problem};

response_body! {
    /// The caller's account.
    #[schema(as = Me)]
    MeBody from user: User {
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
    }
}

/// Get the caller's account
#[utoipa::path(
    operation_id = "get_own_account",
    tag = "auth",
    responses((status = 200, description = "The account of the caller", body = MeBody)),
)]
#[get("/me")]
pub(crate) async fn me(caller: Authorized<Account>) -> Result<Json<MeBody>, Problem> {
    Ok(Json(caller.user.clone().into()))
}
