use actix_web::{HttpResponse, get, web::Data};
use sovd_services::maintenance::insights::ComponentSummary;

use super::InsightBody;
use crate::{
    extract::{Authorized, ListQuery, list_query},
    permissions::ReadInsights,
    problem::Problem,
    state::ApiState,
};

list_query! {
    /// Selects insights.
    ListInsights {
        /// Insights about exactly this component.
        component_name: Option<String>,
    }
}

/// List insights
///
/// Newest first. `X-Total-Count` is the number of matches; `Link` points to the next and the previous
/// page.
#[utoipa::path(
    operation_id = "list_insights",
    tag = "insights",
    params(ListInsights),
    responses((status = 200, description = "A page of matching insights", body = Vec<InsightBody>)),
)]
#[get("")]
pub(crate) async fn list(
    caller: Authorized<ReadInsights>,
    state: Data<ApiState>,
    request: ListQuery<ListInsights>,
) -> Result<HttpResponse, Problem> {
    let ListQuery {
        query,
        page,
        paging,
    } = request;
    let insights = state
        .insights
        .list(&caller, query.component_name.as_deref(), page)
        .await?;
    Ok(paging.respond::<_, InsightBody>(insights))
}

list_query! {
    /// Selects components.
    SummarizeInsights {}
}

response_body! {
    /// The counts of one component across the fleet.
    #[schema(as = ComponentSummary)]
    ComponentSummaryBody from counts: ComponentSummary {
        /// The component.
        #[schema(example = "catalytic converter")]
        component_name: String,
        /// Number of failures that workshops have confirmed.
        #[schema(example = 3)]
        confirmed_failures: i64,
        /// Number of insights about it.
        #[schema(example = 1)]
        insights: i64,
    }
}

/// Count failures by component
///
/// Components with confirmed failures or insights, most confirmed failures first. Deleting a vehicle or
/// its owner deletes its anomalies, which then no longer count. `X-Total-Count` is the number of
/// components; `Link` points to the next and the previous page.
#[utoipa::path(
    operation_id = "summarise_insights",
    tag = "insights",
    params(SummarizeInsights),
    responses(
        (status = 200, description = "A page of components",
         body = Vec<ComponentSummaryBody>),
    ),
)]
#[get("/summary")]
pub(crate) async fn summary(
    caller: Authorized<ReadInsights>,
    state: Data<ApiState>,
    request: ListQuery<SummarizeInsights>,
) -> Result<HttpResponse, Problem> {
    let paging = request.paging;
    let components = state.insights.summary(&caller, request.page).await?;
    Ok(paging.respond::<_, ComponentSummaryBody>(components))
}
