use actix_web::{HttpResponse, get, web::Data};

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
    let ListQuery { query, paging } = request;
    let insights = state
        .insights
        .list(&caller, query.component_name.as_deref(), paging.page)
        .await?;
    Ok(paging.respond::<_, InsightBody>(insights))
}
