use actix_web::{HttpResponse, post, web::Data};
use secrecy::SecretString;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::{
    extract::{Authorized, JsonBody},
    permissions::OwnAccount,
    problem::Problem,
    state::ApiState,
};

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
pub(crate) async fn change(
    caller: Authorized<OwnAccount>,
    state: Data<ApiState>,
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
