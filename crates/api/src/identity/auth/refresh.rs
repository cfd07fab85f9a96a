use actix_web::{
    HttpRequest, post,
    web::{Data, Json},
};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use utoipa::ToSchema;

use super::TokensBody;
use crate::{
    extract::{Anonymous, JsonBody, origin_of},
    problem::Problem,
    state::ApiState,
};

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
    state: Data<ApiState>,
    body: JsonBody<RefreshRequest>,
) -> Result<Json<TokensBody>, Problem> {
    let token = body.0.refresh_token;
    let tokens = state
        .auth
        .refresh(token.expose_secret(), origin_of(&request))
        .await?;
    Ok(Json(tokens.into()))
}
