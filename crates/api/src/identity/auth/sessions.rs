use actix_web::{HttpResponse, delete, get, post, web};
use chrono::{DateTime, Utc};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use sovd_domain::{Session, SessionId};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    extract::{Authorized, OptionalJsonBody, PathId},
    permissions::ManageOwnAccount,
    problem::Problem,
    state::ApiState,
};

/// A session that has not ended.
#[derive(Serialize, ToSchema)]
#[schema(as = Session)]
pub(crate) struct SessionBody {
    /// Identifies the session.
    session_id: Uuid,
    /// The time of the login.
    created_at: DateTime<Utc>,
    /// When the session ends unless its tokens are refreshed.
    expires_at: DateTime<Utc>,
    /// When the session was last used, with a resolution of one minute.
    last_used_at: DateTime<Utc>,
    /// The address of the client that obtained the latest tokens.
    #[schema(example = "192.0.2.7")]
    ip_address: Option<String>,
    /// The `User-Agent` of that client.
    user_agent: Option<String>,
    /// Whether the request belongs to this session.
    current: bool,
}

/// List the caller's sessions
///
/// Most recently used first.
#[utoipa::path(
    operation_id = "list_own_sessions",
    tag = "auth",
    responses((status = 200, description = "The sessions", body = Vec<SessionBody>)),
)]
#[get("/sessions")]
pub(crate) async fn list(
    caller: Authorized<ManageOwnAccount>,
    state: web::Data<ApiState>,
) -> Result<web::Json<Vec<SessionBody>>, Problem> {
    let current = caller.session_id();
    let sessions = state.auth.sessions(&caller).await?;
    let bodies = sessions
        .into_iter()
        .map(|session| SessionBody::of(session, current));
    Ok(web::Json(bodies.collect()))
}

/// End one of the caller's sessions
///
/// Revokes its tokens and closes its streams.
#[utoipa::path(
    operation_id = "end_own_session",
    tag = "auth",
    params(("session_id" = Uuid, Path, description = "The session")),
    responses((status = 204, description = "The session has ended")),
)]
#[delete("/sessions/{session_id}")]
pub(crate) async fn end(
    caller: Authorized<ManageOwnAccount>,
    state: web::Data<ApiState>,
    session_id: PathId<SessionId>,
) -> Result<HttpResponse, Problem> {
    state.auth.end_session(&caller, session_id.0).await?;
    Ok(HttpResponse::NoContent().finish())
}

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
    caller: Authorized<ManageOwnAccount>,
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

impl SessionBody {
    fn of(session: Session, current: Option<SessionId>) -> Self {
        Self {
            session_id: session.session_id.0,
            created_at: session.created_at,
            expires_at: session.expires_at,
            last_used_at: session.last_used_at,
            ip_address: session.client.ip_address.map(|address| address.to_string()),
            user_agent: session.client.user_agent,
            current: Some(session.session_id) == current,
        }
    }
}
