//! `/api/v1/agent-suspensions`

use actix_web::{HttpRequest, HttpResponse, delete, get, web::Data};
use chrono::{DateTime, Utc};
use serde::Deserialize;
use sovd_domain::{Suspension, SuspensionId};
use sovd_services::agents::SuspensionFilter;
use utoipa::IntoParams;
use uuid::Uuid;

use crate::{
    extract::{Authorized, PathId, QueryParams, page, page_of},
    permissions::{ManageAgents, ReadAgentLog},
    problem::Problem,
    state::ApiState,
};

response_body! {
    /// The exclusion of an agent from one kind of action.
    #[schema(as = AgentSuspension)]
    SuspensionBody from suspension: Suspension {
        /// Identifies the suspension.
        suspension_id: Uuid = suspension.suspension_id.0,
        /// The agent.
        #[schema(example = "fleet-monitor")]
        agent_name: String,
        /// The kind of action.
        #[schema(example = "commands.submit")]
        action_type: String,
        /// Number of blocked attempts that led to the suspension.
        #[schema(example = 6)]
        blocked_attempts: i64,
        /// When it began.
        suspended_at: DateTime<Utc>,
        /// When an admin lifted it; null while it is active.
        lifted_at: Option<DateTime<Utc>>,
        /// The admin who lifted it; null while it is active or after that account was deleted.
        lifted_by: Option<Uuid> = suspension.lifted_by.map(|id| id.0),
    }
}

/// Selects suspensions.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListSuspensions {
    /// Suspensions of this agent.
    agent_name: Option<String>,
    /// `true` for active suspensions, `false` for lifted ones.
    is_active: Option<bool>,
    /// Maximum number of items: 1 to 100; default 50.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<i64>,
    /// Number of items to skip: 0 or more; default 0.
    #[param(minimum = 0)]
    offset: Option<i64>,
}

/// List agent suspensions
///
/// Newest first. `X-Total-Count` is the number of matches; `Link` points to the next and the previous
/// page. For admins.
#[utoipa::path(
    operation_id = "list_agent_suspensions",
    tag = "agents",
    params(ListSuspensions),
    responses(
        (status = 200, description = "A page of matching suspensions", body = Vec<SuspensionBody>),
    ),
)]
#[get("")]
pub(crate) async fn list(
    request: HttpRequest,
    authorized: Authorized<ReadAgentLog>,
    state: Data<ApiState>,
    query: QueryParams<ListSuspensions>,
) -> Result<HttpResponse, Problem> {
    let query = query.0;
    let page = page(query.limit, query.offset)?;
    let filter = SuspensionFilter {
        agent_name: query.agent_name,
        is_active: query.is_active,
    };
    let (suspensions, total) = state
        .agents
        .suspensions(&authorized.caller, &filter, page)
        .await?;
    let bodies: Vec<SuspensionBody> = suspensions.into_iter().map(SuspensionBody::from).collect();
    Ok(page_of(&request, page, total, bodies))
}

/// Lift a suspension
///
/// The agent may perform the action again at once, and its earlier blocked attempts no longer count.
/// For admins, not for service accounts.
#[utoipa::path(
    operation_id = "lift_agent_suspension",
    tag = "agents",
    params(("suspension_id" = Uuid, Path, description = "The suspension")),
    responses(
        (status = 204, description = "The suspension is lifted"),
        (status = 409, description = "`conflict`: it is lifted already"),
    ),
)]
#[delete("/{suspension_id}")]
pub(crate) async fn lift(
    authorized: Authorized<ManageAgents>,
    state: Data<ApiState>,
    suspension_id: PathId<SuspensionId>,
) -> Result<HttpResponse, Problem> {
    state
        .agents
        .lift(&authorized.caller, suspension_id.0)
        .await?;
    Ok(HttpResponse::NoContent().finish())
}
