use actix_web::{HttpResponse, get, post, web};
use secrecy::SecretString;
use serde::Deserialize;
use sovd_domain::User;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    extract::{Authorized, JsonBody},
    permissions::{ManageOwnAccount, ReadOwnAccount},
    problem::Problem,
    state::ApiState,
};

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
pub(crate) async fn me(caller: Authorized<ReadOwnAccount>) -> Result<web::Json<MeBody>, Problem> {
    Ok(web::Json(caller.user.clone().into()))
}

/// The current and the new password.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PasswordRequest {
    /// 1 to 128 characters.
    #[schema(min_length = 1, max_length = 128, value_type = String, format = Password)]
    current_password: SecretString,
    /// 12 to 128 characters; not the user name, one of the 10,000 most common, or the current password.
    #[schema(min_length = 12, max_length = 128, value_type = String, format = Password)]
    new_password: SecretString,
}

/// Change the caller's password
///
/// Ends all other sessions of the caller.
#[utoipa::path(
    operation_id = "change_own_password",
    tag = "auth",
    request_body = PasswordRequest,
    responses(
        (status = 204, description = "The password is changed"),
        (status = 409, description = "`conflict`: the password was changed concurrently"),
    ),
)]
#[post("/password")]
pub(crate) async fn change_password(
    caller: Authorized<ManageOwnAccount>,
    state: web::Data<ApiState>,
    body: JsonBody<PasswordRequest>,
) -> Result<HttpResponse, Problem> {
    let PasswordRequest {
        current_password,
        new_password,
    } = body.0;
    state
        .auth
        .change_password(&caller, current_password, new_password)
        .await?;
    Ok(HttpResponse::NoContent().finish())
}
