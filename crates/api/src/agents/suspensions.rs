//! `/api/v1/agent-suspensions`

use actix_web::{HttpResponse, delete, get, web::Data};
use chrono::{DateTime, Utc};
use sovd_domain::{Suspension, SuspensionId};
use sovd_services::agents::SuspensionFilter;
use uuid::Uuid;

use crate::{
    extract::{Authorized, ListQuery, PathId, list_query},
    permissions::{ManageAgents, ReadAgentLog},
    problem::Problem,
    state::ApiState,
};

response_body! {
    /// The exclusion of an agent from one action type.
    #[schema(as = AgentSuspension)]
    SuspensionBody from suspension: Suspension {
        /// Identifies the suspension.
        suspension_id: Uuid = suspension.suspension_id.0,
        /// The agent.
        #[schema(example = "fleet-monitor")]
        agent_name: String,
        /// The action type.
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

list_query! {
    /// Selects suspensions.
    ListSuspensions {
        /// Suspensions of this agent.
        agent_name: Option<String>,
        /// `true` for active suspensions, `false` for lifted ones.
        is_active: Option<bool>,
    }
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
    caller: Authorized<ReadAgentLog>,
    state: Data<ApiState>,
    request: ListQuery<ListSuspensions>,
) -> Result<HttpResponse, Problem> {
    let ListQuery {
        query,
        page,
        paging,
    } = request;
    let filter = SuspensionFilter {
        agent_name: query.agent_name,
        is_active: query.is_active,
    };
    let suspensions = state.agents.suspensions(&caller, &filter, page).await?;
    Ok(paging.respond::<_, SuspensionBody>(suspensions))
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
        (status = 409, description = "`conflict`: it has already been lifted"),
    ),
)]
#[delete("/{suspension_id}")]
pub(crate) async fn lift(
    caller: Authorized<ManageAgents>,
    state: Data<ApiState>,
    suspension_id: PathId<SuspensionId>,
) -> Result<HttpResponse, Problem> {
    state.agents.lift(&caller, suspension_id.0).await?;
    Ok(HttpResponse::NoContent().finish())
}
