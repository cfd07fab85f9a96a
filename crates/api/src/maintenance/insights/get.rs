use actix_web::{
    get,
    guard::GuardContext,
    web::{Data, Json},
};
use sovd_domain::InsightId;

use super::InsightBody;
use crate::{
    extract::{Authorized, PathId},
    permissions::ReadInsights,
    problem::Problem,
    state::ApiState,
};

/// Get an insight
#[utoipa::path(
    operation_id = "get_insight",
    tag = "insights",
    params(("insight_id" = Uuid, Path, description = "The insight")),
    responses((status = 200, description = "The insight", body = InsightBody)),
)]
#[get("/{insight_id}", guard = "is_not_derive")]
pub(crate) async fn get_insight(
    caller: Authorized<ReadInsights>,
    state: Data<ApiState>,
    insight_id: PathId<InsightId>,
) -> Result<Json<InsightBody>, Problem> {
    let insight = state.insights.get(&caller, insight_id.0).await?;
    Ok(Json(insight.into()))
}

/// Excludes `/insights/derive`, so that `GET` returns 405 instead of rejecting `derive` as an id.
fn is_not_derive(context: &GuardContext<'_>) -> bool {
    !context.head().uri.path().ends_with("/derive")
}
