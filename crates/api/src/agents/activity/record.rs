use actix_web::{HttpResponse, post, web::Data};
use serde::Deserialize;
use sovd_domain::AgentActionStatus;
use sovd_services::agents::NewAgentAction;
use utoipa::ToSchema;

use super::UebaLogBody;
use crate::{
    extract::{Authorized, JsonBody},
    permissions::RecordAgentLog,
    problem::Problem,
    state::ApiState,
};

/// Something that an agent elsewhere did or tried.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RecordUebaLogRequest {
    /// The agent: 1 to 50 characters.
    #[schema(min_length = 1, max_length = 50, example = "line-robot")]
    agent_name: String,
    /// The kind of action: 1 to 100 characters.
    #[schema(min_length = 1, max_length = 100, example = "firmware.flash")]
    action_type: String,
    /// Where it came from: 1 to 500 characters.
    #[schema(min_length = 1, max_length = 500, example = "192.0.2.7")]
    source_node: Option<String>,
    /// What it was about: 1 to 500 characters.
    #[schema(min_length = 1, max_length = 500, example = "plant 4")]
    target_node: Option<String>,
    /// Whether it was let through: `ALLOWED` or `BLOCKED`.
    #[schema(value_type = String, pattern = "^(ALLOWED|BLOCKED)$", example = "BLOCKED")]
    status: AgentActionStatus,
}

/// Record what an agent did
///
/// For agents that other systems watch. One that was blocked there too often is suspended as if it had
/// been blocked here. For admins.
#[utoipa::path(
    operation_id = "record_ueba_log",
    tag = "agents",
    security(("bearer" = [])),
    request_body = RecordUebaLogRequest,
    responses(
        (status = 201, description = "It is written down, with the server's time", body = UebaLogBody),
    ),
)]
#[post("")]
pub(crate) async fn record(
    authorized: Authorized<RecordAgentLog>,
    state: Data<ApiState>,
    body: JsonBody<RecordUebaLogRequest>,
) -> Result<HttpResponse, Problem> {
    let recording = state.agents.record(&authorized.caller, body.0.into());
    let action = recording.await?;
    Ok(HttpResponse::Created().json(UebaLogBody::from(action)))
}

impl From<RecordUebaLogRequest> for NewAgentAction {
    fn from(request: RecordUebaLogRequest) -> Self {
        Self {
            agent_name: request.agent_name,
            action_type: request.action_type,
            source_node: request.source_node,
            target_node: request.target_node,
            status: request.status,
        }
    }
}
