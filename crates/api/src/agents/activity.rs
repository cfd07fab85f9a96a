//! `/api/v1/ueba-logs`

use actix_web::{HttpResponse, get, post, web::Data};
use chrono::{DateTime, Utc};
use sovd_domain::{AgentAction, AgentActionStatus};
use sovd_services::agents::{AgentActionFilter, NewAgentAction};
use uuid::Uuid;

use crate::{
    extract::{Authorized, JsonBody, ListQuery, list_query, moment},
    permissions::{ReadAgentLog, RecordAgentLog},
    problem::Problem,
    state::ApiState,
};

response_body! {
    /// An action that an agent attempted.
    #[schema(as = UebaLog)]
    UebaLogBody from action: AgentAction {
        /// Identifies the entry.
        id: Uuid = action.id.0,
        /// The agent, by the name of its service account.
        #[schema(example = "fleet-monitor")]
        agent_name: String,
        /// What the agent attempted: the permission that the call needs, or a term of an external system.
        #[schema(example = "commands.submit")]
        action_type: String,
        /// Where the call came from.
        #[schema(example = "192.0.2.7")]
        source_node: Option<String>,
        /// The target: the method and the path, or the resource concealed from the agent.
        #[schema(example = "POST /api/v1/commands")]
        target_node: Option<String>,
        /// Whether the action was allowed: `ALLOWED` or `BLOCKED`.
        #[schema(example = "BLOCKED")]
        status: &'static str = action.status.as_str(),
        /// When the action was attempted.
        timestamp: DateTime<Utc>,
    }
}

list_query! {
    /// Selects log entries.
    ListUebaLogs {
        /// Entries with this status: `ALLOWED` or `BLOCKED`.
        #[param(value_type = Option<String>, pattern = "^(ALLOWED|BLOCKED)$")]
        status: Option<AgentActionStatus>,
        /// Entries of this agent.
        agent_name: Option<String>,
        /// Entries of this action type, such as `commands.submit`.
        action_type: Option<String>,
        /// Entries at or after this time (RFC 3339).
        start_date: Option<DateTime<Utc>>,
        /// Entries at or before this time (RFC 3339).
        end_date: Option<DateTime<Utc>>,
    }
}

/// List agent activity
///
/// Allowed and blocked actions, newest first. `X-Total-Count` is the number of matches; `Link` points
/// to the next and the previous page. For admins.
#[utoipa::path(
    operation_id = "list_ueba_logs",
    tag = "agents",
    params(ListUebaLogs),
    responses((status = 200, description = "A page of matching entries", body = Vec<UebaLogBody>)),
)]
#[get("")]
pub(crate) async fn list(
    caller: Authorized<ReadAgentLog>,
    state: Data<ApiState>,
    request: ListQuery<ListUebaLogs>,
) -> Result<HttpResponse, Problem> {
    let ListQuery {
        query,
        page,
        paging,
    } = request;
    let filter = AgentActionFilter {
        status: query.status,
        agent_name: query.agent_name,
        action_type: query.action_type,
        start: moment("start_date", query.start_date)?,
        end: moment("end_date", query.end_date)?,
    };
    let actions = state.agents.list(&caller, &filter, page).await?;
    Ok(paging.respond::<_, UebaLogBody>(actions))
}

request_body! {
    /// An action of an agent in an external system.
    RecordUebaLogRequest as body into NewAgentAction {
        /// The agent: 1 to 50 characters.
        #[schema(min_length = 1, max_length = 50, example = "line-robot")]
        agent_name: String,
        /// What the agent attempted: 1 to 100 characters.
        #[schema(min_length = 1, max_length = 100, example = "firmware.flash")]
        action_type: String,
        /// Where the action came from: 1 to 500 characters.
        #[schema(min_length = 1, max_length = 500, example = "192.0.2.7")]
        source_node: Option<String>,
        /// The target of the action: 1 to 500 characters.
        #[schema(min_length = 1, max_length = 500, example = "plant 4")]
        target_node: Option<String>,
        /// Whether the action was allowed: `ALLOWED` or `BLOCKED`.
        #[schema(value_type = String, pattern = "^(ALLOWED|BLOCKED)$", example = "BLOCKED")]
        status: AgentActionStatus,
    }
}

/// Record agent activity
///
/// For agents that external systems monitor. Recorded blocked actions count towards a suspension like
/// blocked calls of this API. For admins.
#[utoipa::path(
    operation_id = "record_ueba_log",
    tag = "agents",
    request_body = RecordUebaLogRequest,
    responses(
        (status = 201, description = "The recorded entry, with the time of the server",
         body = UebaLogBody),
    ),
)]
#[post("")]
pub(crate) async fn record(
    caller: Authorized<RecordAgentLog>,
    state: Data<ApiState>,
    body: JsonBody<RecordUebaLogRequest>,
) -> Result<HttpResponse, Problem> {
    let action = state.agents.record(&caller, body.0.into()).await?;
    Ok(HttpResponse::Created().json(UebaLogBody::from(action)))
}
