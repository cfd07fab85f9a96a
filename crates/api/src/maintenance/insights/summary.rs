use actix_web::{HttpRequest, HttpResponse, get, web::Data};
use serde::{Deserialize, Serialize};
use sovd_services::maintenance::insights::ComponentSummary;
use utoipa::{IntoParams, ToSchema};

use crate::{
    extract::{Authorized, QueryParams, page, page_of},
    permissions::ReadInsights,
    problem::Problem,
    state::ApiState,
};

/// Which components.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct SummariseInsights {
    /// How many at most: 1 to 100, 50 when left out.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<i64>,
    /// How many to pass over: 0 or more.
    #[param(minimum = 0)]
    offset: Option<i64>,
}

/// What is known of one component over the fleet.
#[derive(Serialize, ToSchema)]
#[schema(as = ComponentSummary)]
pub(crate) struct ComponentSummaryBody {
    /// The component.
    #[schema(example = "catalytic converter")]
    component_name: String,
    /// How many of its failures workshops have confirmed.
    #[schema(example = 3)]
    confirmed_failures: i64,
    /// How many insights there are about it.
    #[schema(example = 1)]
    insights: i64,
}

/// Count failures by component
///
/// The components that have failed or that there are insights about, those with the most confirmed
/// failures first. What is stored is counted: whoever deletes a vehicle or its owner deletes its
/// anomalies too, and they count no more. `X-Total-Count` tells how many components there are, `Link`
/// where the next and the previous page are.
#[utoipa::path(
    operation_id = "summarise_insights",
    tag = "insights",
    security(("bearer" = [])),
    params(SummariseInsights),
    responses(
        (status = 200, description = "One page of the components",
         body = Vec<ComponentSummaryBody>,
         headers(("X-Total-Count" = i64), ("Link" = String))),
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
    let bodies = components.into_iter().map(ComponentSummaryBody::from);
    let bodies: Vec<ComponentSummaryBody> = bodies.collect();
    Ok(page_of(&request, page, total, bodies))
}

impl From<ComponentSummary> for ComponentSummaryBody {
    fn from(known: ComponentSummary) -> Self {
        Self {
            component_name: known.component_name,
            confirmed_failures: known.confirmed_failures,
            insights: known.insights,
        }
    }
}
