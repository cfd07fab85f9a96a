use actix_web::{post, web};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    extract::{Authorized, OptionalJsonBody},
    permissions::OwnAccount,
    problem::Problem,
    state::ApiState,
};

/// The session to end.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LogoutRequest {
    /// A refresh token, to end only its session. By default all of the caller's sessions end.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 500, value_type = Option<String>, format = Password)]
    refresh_token: Option<SecretString>,
}

/// A confirmation.
#[derive(Serialize, ToSchema)]
#[schema(as = Message)]
pub(crate) struct MessageBody {
    /// For humans.
    #[schema(example = "logged out")]
    message: &'static str,
}

/// Log out
///
/// Ends one session or, without a body, all of the caller's sessions, and revokes their tokens.
#[utoipa::path(
    operation_id = "log_out",
    tag = "auth",
    request_body(content = Option<LogoutRequest>),
    responses((status = 200, description = "Logged out", body = MessageBody)),
)]
#[post("/logout")]
pub(crate) async fn logout(
    caller: Authorized<OwnAccount>,
    state: web::Data<ApiState>,
    body: OptionalJsonBody<LogoutRequest>,
) -> Result<web::Json<MessageBody>, Problem> {
    let token = body.0.and_then(|body| body.refresh_token);
    let token = token.as_ref().map(ExposeSecret::expose_secret);
    state.auth.logout(&caller, token).await?;
    Ok(web::Json(MessageBody {
        message: "logged out",
    }))
}
