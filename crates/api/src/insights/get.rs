use actix_web::{
    get,
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

/// See an insight
#[utoipa::path(
    operation_id = "get_insight",
    tag = "insights",
    security(("bearer" = [])),
    params(("insight_id" = Uuid, Path, description = "The insight")),
    responses(
        (status = 200, description = "The insight", body = InsightBody),
    ),
)]
#[get("/{insight_id}")]
pub(crate) async fn get_insight(
    authorized: Authorized<ReadInsights>,
    state: Data<ApiState>,
    insight_id: PathId<InsightId>,
) -> Result<Json<InsightBody>, Problem> {
    let insight = state.insights.get(&authorized.caller, insight_id.0).await?;
    Ok(Json(insight.into()))
}
