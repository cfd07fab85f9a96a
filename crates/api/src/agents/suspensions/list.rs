use actix_web::{HttpRequest, HttpResponse, get, web::Data};
use serde::Deserialize;
use sovd_services::agents::SuspensionFilter;
use utoipa::IntoParams;

use super::SuspensionBody;
use crate::{
    extract::{Authorized, QueryParams, page, page_of},
    permissions::ReadAgentLog,
    problem::Problem,
    state::ApiState,
};

/// Which suspensions.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListSuspensions {
    /// Those of this agent.
    agent_name: Option<String>,
    /// `true` for those that last, `false` for those that were lifted.
    is_active: Option<bool>,
    /// How many at most: 1 to 100, 50 when left out.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<i64>,
    /// How many to pass over: 0 or more.
    #[param(minimum = 0)]
    offset: Option<i64>,
}

/// List suspended agents
///
/// Newest first. `X-Total-Count` tells how many match, `Link` where the next and the previous page are.
/// For admins.
#[utoipa::path(
    operation_id = "list_agent_suspensions",
    tag = "agents",
    security(("bearer" = [])),
    params(ListSuspensions),
    responses(
        (status = 200, description = "One page of the suspensions that match",
         body = Vec<SuspensionBody>,
         headers(("X-Total-Count" = i64), ("Link" = String))),
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
    let listing = state.agents.suspensions(&authorized.caller, &filter, page);
    let (suspensions, total) = listing.await?;
    let bodies: Vec<SuspensionBody> = suspensions.into_iter().map(SuspensionBody::from).collect();
    Ok(page_of(&request, page, total, bodies))
}
