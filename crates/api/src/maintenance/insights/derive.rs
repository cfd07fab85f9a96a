use actix_web::{HttpResponse, post, web::Data};
use serde::Deserialize;
use utoipa::ToSchema;

use super::InsightBody;
use crate::{
    extract::{Authorized, OptionalJsonBody},
    permissions::RecordInsights,
    problem::Problem,
    state::ApiState,
};

/// The condition for an insight.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DeriveInsightsRequest {
    /// Number of confirmed failures of a component in one model and model year that a group must exceed:
    /// 0 to 1000000; default from the server settings. Counts failures, not vehicles.
    #[schema(minimum = 0, maximum = 1_000_000, example = 2)]
    threshold: Option<u32>,
}

/// Derive insights
///
/// Groups confirmed failures by component, make, model and model year. Creates an insight for each group
/// above the threshold that has at least one failure without an insight. Repeating the call is safe: each
/// failure counts as new only once. Creates at most 100 insights; repeat the call while it returns 100.
#[utoipa::path(
    operation_id = "derive_insights",
    tag = "insights",
    request_body(content = Option<DeriveInsightsRequest>),
    responses(
        (status = 200, description = "No group has new failures", body = Vec<InsightBody>),
        (status = 201, description = "The created insights, most failures first, at most 100",
         body = Vec<InsightBody>),
    ),
)]
#[post("/derive")]
pub(crate) async fn derive(
    caller: Authorized<RecordInsights>,
    state: Data<ApiState>,
    body: OptionalJsonBody<DeriveInsightsRequest>,
) -> Result<HttpResponse, Problem> {
    let threshold = body.0.and_then(|body| body.threshold);
    let insights = state.insights.derive(&caller, threshold).await?;
    let insights: Vec<InsightBody> = insights.into_iter().map(InsightBody::from).collect();
    let mut response = if insights.is_empty() {
        HttpResponse::Ok()
    } else {
        HttpResponse::Created()
    };
    Ok(response.json(insights))
}
