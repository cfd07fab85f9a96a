use actix_web::{HttpRequest, HttpResponse, get, web::Data};
use serde::Deserialize;
use utoipa::IntoParams;

use super::InsightBody;
use crate::{
    extract::{Authorized, QueryParams, page, page_of},
    permissions::ReadInsights,
    problem::Problem,
    state::ApiState,
};

/// Which insights.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListInsights {
    /// Those about this component exactly.
    component_name: Option<String>,
    /// How many at most: 1 to 100, 50 when left out.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<i64>,
    /// How many to pass over: 0 or more.
    #[param(minimum = 0)]
    offset: Option<i64>,
}

/// List insights
///
/// Newest first. `X-Total-Count` tells how many match, `Link` where the next and the previous page
/// are.
#[utoipa::path(
    operation_id = "list_insights",
    tag = "insights",
    security(("bearer" = [])),
    params(ListInsights),
    responses(
        (status = 200, description = "One page of the insights that match",
         body = Vec<InsightBody>,
         headers(("X-Total-Count" = i64), ("Link" = String))),
    ),
)]
#[get("")]
pub(crate) async fn list(
    request: HttpRequest,
    authorized: Authorized<ReadInsights>,
    state: Data<ApiState>,
    query: QueryParams<ListInsights>,
) -> Result<HttpResponse, Problem> {
    let query = query.0;
    let page = page(query.limit, query.offset)?;
    let (insights, total) = state
        .insights
        .list(&authorized.caller, query.component_name.as_deref(), page)
        .await?;
    let bodies: Vec<InsightBody> = insights.into_iter().map(InsightBody::from).collect();
    Ok(page_of(&request, page, total, bodies))
}
