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

/// Selects insights.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListInsights {
    /// Insights about exactly this component.
    component_name: Option<String>,
    /// Maximum number of items: 1 to 100; default 50.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<i64>,
    /// Number of items to skip: 0 or more; default 0.
    #[param(minimum = 0)]
    offset: Option<i64>,
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
