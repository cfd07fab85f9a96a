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

/// What makes an insight.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DeriveInsightsRequest {
    /// How many confirmed failures of a component in one model and model year are still none: 0 to
    /// 1000000; left out, as the settings say. It counts failures, not vehicles: one vehicle can have
    /// them all.
    #[schema(minimum = 0, maximum = 1_000_000, example = 2)]
    threshold: Option<u32>,
}

/// Derive insights
///
/// Counts the failures that workshops have confirmed by component, make, model and model year, and
/// writes an insight for each group above the threshold of which at least one failure is in no insight
/// yet. Calling it again is harmless: each failure counts as new once. One call writes 100 insights at
/// most, so call again while there are 100 in the answer.
#[utoipa::path(
    operation_id = "derive_insights",
    tag = "insights",
    security(("bearer" = [])),
    request_body(content = Option<DeriveInsightsRequest>),
    responses(
        (status = 200, description = "There was nothing new to write", body = Vec<InsightBody>),
        (status = 201, description = "The insights that were written now, the most failures first, 100 at \
                                     most",
         body = Vec<InsightBody>),
    ),
)]
#[post("/derive")]
pub(crate) async fn derive(
    authorized: Authorized<RecordInsights>,
    state: Data<ApiState>,
    body: OptionalJsonBody<DeriveInsightsRequest>,
) -> Result<HttpResponse, Problem> {
    let threshold = body.0.and_then(|body| body.threshold);
    let deriving = state.insights.derive(&authorized.caller, threshold);
    let insights: Vec<InsightBody> = deriving.await?.into_iter().map(InsightBody::from).collect();
    let mut response = if insights.is_empty() {
        HttpResponse::Ok()
    } else {
        HttpResponse::Created()
    };
    Ok(response.json(insights))
}
