use actix_web::{HttpRequest, HttpResponse, get, web::Data};
use chrono::{DateTime, Utc};
use serde::Deserialize;
use sovd_domain::AgentActionStatus;
use sovd_services::agents::AgentActionFilter;
use utoipa::IntoParams;

use super::UebaLogBody;
use crate::{
    extract::{Authorized, QueryParams, moment, page, page_of},
    permissions::ReadAgentLog,
    problem::Problem,
    state::ApiState,
};

/// Which lines.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListUebaLogs {
    /// Those with this status: `ALLOWED` or `BLOCKED`.
    #[param(value_type = Option<String>, pattern = "^(ALLOWED|BLOCKED)$")]
    status: Option<AgentActionStatus>,
    /// What this agent did or tried.
    agent_name: Option<String>,
    /// Those of this kind, such as `commands.submit`.
    action_type: Option<String>,
    /// At or after this moment (RFC 3339).
    start_date: Option<DateTime<Utc>>,
    /// At or before this moment (RFC 3339).
    end_date: Option<DateTime<Utc>>,
    /// How many at most: 1 to 100, 50 when left out.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<i64>,
    /// How many to pass over: 0 or more.
    #[param(minimum = 0)]
    offset: Option<i64>,
}

/// List what agents did
///
/// And what they tried in vain, newest first. `X-Total-Count` tells how many match, `Link` where the
/// next and the previous page are. For admins.
#[utoipa::path(
    operation_id = "list_ueba_logs",
    tag = "agents",
    security(("bearer" = [])),
    params(ListUebaLogs),
    responses(
        (status = 200, description = "One page of the lines that match", body = Vec<UebaLogBody>,
         headers(("X-Total-Count" = i64), ("Link" = String))),
    ),
)]
#[get("")]
pub(crate) async fn list(
    request: HttpRequest,
    authorized: Authorized<ReadAgentLog>,
    state: Data<ApiState>,
    query: QueryParams<ListUebaLogs>,
) -> Result<HttpResponse, Problem> {
    let query = query.0;
    let page = page(query.limit, query.offset)?;
    let filter = AgentActionFilter {
        status: query.status,
        agent_name: query.agent_name,
        action_type: query.action_type,
        start: moment("start_date", query.start_date)?,
        end: moment("end_date", query.end_date)?,
    };
    let (actions, total) = state.agents.list(&authorized.caller, &filter, page).await?;
    let bodies: Vec<UebaLogBody> = actions.into_iter().map(UebaLogBody::from).collect();
    Ok(page_of(&request, page, total, bodies))
}
