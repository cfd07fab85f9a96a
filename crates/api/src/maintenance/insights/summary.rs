use actix_web::{HttpRequest, HttpResponse, get, web::Data};
use serde::Deserialize;
use sovd_services::maintenance::insights::ComponentSummary;
use utoipa::IntoParams;

use crate::{
    extract::{Authorized, QueryParams, page, page_of},
    permissions::ReadInsights,
    problem::Problem,
    state::ApiState,
};

/// Selects components.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct SummariseInsights {
    /// Maximum number of items: 1 to 100; default 50.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<i64>,
    /// Number of items to skip: 0 or more; default 0.
    #[param(minimum = 0)]
    offset: Option<i64>,
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
    params(SummariseInsights),
    responses(
        (status = 200, description = "A page of components",
         body = Vec<ComponentSummaryBody>),
    ),
)]
#[get("/summary")]
pub(crate) async fn summary(
    request: HttpRequest,
    authorized: Authorized<ReadInsights>,
    state: Data<ApiState>,
    query: QueryParams<SummariseInsights>,
) -> Result<HttpResponse, Problem> {
    let page = page(query.0.limit, query.0.offset)?;
    let (components, total) = state.insights.summary(&authorized.caller, page).await?;
    let bodies: Vec<ComponentSummaryBody> = components
        .into_iter()
        .map(ComponentSummaryBody::from)
        .collect();
    Ok(page_of(&request, page, total, bodies))
}
