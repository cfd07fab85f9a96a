use actix_web::{
    HttpRequest, post,
    web::{Data, Json},
};
use secrecy::SecretString;
use serde::Deserialize;
use utoipa::ToSchema;

use super::TokensBody;
use crate::{
    extract::{Anonymous, JsonBody, origin_of},
    problem::Problem,
    state::ApiState,
};

/// The credentials of a user.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LoginRequest {
    /// 1 to 50 characters.
    #[schema(min_length = 1, max_length = 50, example = "engineer")]
    username: String,
    /// 1 to 128 characters.
    #[schema(min_length = 1, max_length = 128, value_type = String, format = Password)]
    password: SecretString,
}

/// Log in
///
/// Opens a session. The response takes the same time whether or not the user exists. After 5 failures
/// for an account, or 20 from an address, each further failure increases a delay.
#[utoipa::path(
    operation_id = "log_in",
    tag = "auth",
    security(()),
    request_body = LoginRequest,
    responses(
        (status = 200, description = "Tokens for the new session", body = TokensBody),
        (status = 401, description = "`invalid_credentials`"),
        (status = 403, description = "`account_disabled`: the password is correct"),
        (status = 429, description = "`rate_limited`: too many failures for the account or from the \
         address, or too many concurrent logins; `Retry-After` has the delay in seconds"),
    ),
)]
#[post("/login")]
pub(crate) async fn login(
    request: HttpRequest,
    _anonymous: Anonymous,
    state: Data<ApiState>,
    body: JsonBody<LoginRequest>,
) -> Result<Json<TokensBody>, Problem> {
    let LoginRequest { username, password } = body.0;
    let tokens = state
        .auth
        .login(&username, password, origin_of(&request))
        .await?;
    Ok(Json(tokens.into()))
}
