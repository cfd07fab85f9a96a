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
    problem::{Problem, ProblemBody},
    state::ApiState,
};

/// A refresh token to be spent.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RefreshRequest {
    /// As the last login or refresh gave it.
    #[schema(min_length = 1, max_length = 500, value_type = String, format = Password)]
    refresh_token: SecretString,
}

/// Get new tokens
///
/// The refresh token that was sent is spent: keep the new one. A client that lost the answer may ask
/// again within 10 seconds and gets the same one, as long as that one is unspent. Used later, by another
/// client, or after its successor was spent, a spent token ends the session, because it was stolen.
#[utoipa::path(
    operation_id = "refresh_tokens",
    tag = "auth",
    request_body = RefreshRequest,
    responses(
        (status = 200, description = "New tokens for the same session", body = TokensBody),
        (status = 401, description = "`token_invalid`: unknown or expired; \
            `session_revoked`: spent before, and the session has ended",
         body = ProblemBody, content_type = "application/problem+json"),
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
