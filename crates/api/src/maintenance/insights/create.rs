use actix_web::{HttpResponse, post, web::Data};
use serde::Deserialize;
use sovd_services::maintenance::insights::NewInsight;
use utoipa::ToSchema;

use super::InsightBody;
use crate::{
    extract::{Authorized, JsonBody, OptionalJsonBody, created},
    permissions::RecordInsights,
    problem::Problem,
    state::ApiState,
};

request_body! {
    /// A new insight.
    CreateInsightRequest as body into NewInsight {
        /// The component that fails: 1 to 200 characters.
        #[schema(min_length = 1, max_length = 200, example = "coolant pump")]
        component_name: String,
        /// How it fails: 1 to 2,000 characters.
        #[schema(
            min_length = 1,
            max_length = 2000,
            example = "It slows down after about 20,000 km."
        )]
        failure_pattern: String,
        /// The affected vehicles: 1 to 200 characters.
        #[schema(min_length = 1, max_length = 200, example = "Tesla Model 3 2023")]
        affected_batch: Option<String>,
        /// The recommended remedy: 1 to 2,000 characters.
        #[schema(min_length = 1, max_length = 2000, example = "Check the bearings.")]
        recommendation: Option<String>,
        /// Confidence from 0 to 1.
        #[schema(minimum = 0, maximum = 1, example = 0.75)]
        confidence_score: Option<f64>,
    }
}

/// Create an insight
#[utoipa::path(
    operation_id = "create_insight",
    tag = "insights",
    request_body = CreateInsightRequest,
    responses(
        (status = 201, description = "The insight", body = InsightBody,
         headers(("Location" = String))),
    ),
)]
#[post("")]
pub(crate) async fn create(
    caller: Authorized<RecordInsights>,
    state: Data<ApiState>,
    body: JsonBody<CreateInsightRequest>,
) -> Result<HttpResponse, Problem> {
    let insight = state.insights.create(&caller, body.0.into()).await?;
    let location = format!("/api/v1/insights/{}", insight.id);
    Ok(created(location, InsightBody::from(insight)))
}

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
