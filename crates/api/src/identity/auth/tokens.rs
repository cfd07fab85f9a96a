use actix_web::{HttpRequest, post, web};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use sovd_services::identity::auth::TokenPair;
use utoipa::ToSchema;

use crate::{
    extract::{Anonymous, JsonBody, origin_of},
    problem::Problem,
    state::ApiState,
};

response_body! {
    /// The tokens of a session.
    #[schema(as = Tokens)]
    TokensBody from tokens: TokenPair {
        /// A JWT for the `Authorization` header.
        access_token: String = tokens.access_token.expose_secret().to_owned(),
        /// Valid for one refresh.
        refresh_token: String = tokens.refresh_token.expose_secret().to_owned(),
        /// Always `bearer` (RFC 6750).
        #[schema(example = "bearer")]
        token_type: &'static str = "bearer",
        /// The lifetime of the access token in seconds.
        #[schema(example = 900)]
        expires_in: u64 = tokens.expires_in.as_secs(),
    }
}

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
    state: web::Data<ApiState>,
    body: JsonBody<LoginRequest>,
) -> Result<web::Json<TokensBody>, Problem> {
    let LoginRequest { username, password } = body.0;
    let tokens = state
        .auth
        .login(&username, password, origin_of(&request))
        .await?;
    Ok(web::Json(tokens.into()))
}

/// A refresh token to exchange.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RefreshRequest {
    /// The token from the last login or refresh.
    #[schema(min_length = 1, max_length = 500, value_type = String, format = Password)]
    refresh_token: SecretString,
}

/// Refresh tokens
///
/// The refresh token is spent and replaced by a successor. A client that lost the response may retry within
/// 10 seconds and gets the same successor while that is unspent. A spent token that is used later, by another
/// client, or after its successor was spent counts as stolen and ends the session.
#[utoipa::path(
    operation_id = "refresh_tokens",
    tag = "auth",
    security(()),
    request_body = RefreshRequest,
    responses(
        (status = 200, description = "New tokens for the same session", body = TokensBody),
        (status = 401, description = "`token_invalid`: unknown or expired; \
            `session_revoked`: already spent, so the session has ended"),
    ),
)]
#[post("/refresh")]
pub(crate) async fn refresh(
    request: HttpRequest,
    _anonymous: Anonymous,
    state: web::Data<ApiState>,
    body: JsonBody<RefreshRequest>,
) -> Result<web::Json<TokensBody>, Problem> {
    let token = body.0.refresh_token;
    let tokens = state
        .auth
        .refresh(token.expose_secret(), origin_of(&request))
        .await?;
    Ok(web::Json(tokens.into()))
}
