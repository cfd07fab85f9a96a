use actix_web::{HttpResponse, post, web::Data};
use secrecy::SecretString;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::{
    extract::{Authorized, JsonBody},
    permissions::OwnAccount,
    problem::{Problem, ProblemBody},
    state::ApiState,
};

/// The password as it is and as it shall be.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PasswordRequest {
    /// 1 to 128 characters.
    #[schema(min_length = 1, max_length = 128, value_type = String, format = Password)]
    current_password: SecretString,
    /// 12 to 128 characters, not the user name, not among the 10,000 most common, and another one.
    #[schema(min_length = 12, max_length = 128, value_type = String, format = Password)]
    new_password: SecretString,
}

/// Change the own password
///
/// Every other session of the caller ends.
#[utoipa::path(
    operation_id = "change_own_password",
    tag = "auth",
    security(("bearer" = [])),
    request_body = PasswordRequest,
    responses(
        (status = 204, description = "The new one counts from now on"),
        (status = 409, description = "`conflict`: it is changed at the same time",
         body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
#[post("/password")]
pub(crate) async fn change(
    authorized: Authorized<OwnAccount>,
    state: Data<ApiState>,
    body: JsonBody<PasswordRequest>,
) -> Result<HttpResponse, Problem> {
    let PasswordRequest {
        current_password,
        new_password,
    } = body.0;
    state
        .auth
        .change_password(&authorized.caller, current_password, new_password)
        .await?;
    Ok(HttpResponse::NoContent().finish())
}
