//! `/api/v1/insights`

pub(crate) mod create;
pub(crate) mod detectors;
pub(crate) mod list;

use actix_web::{get, guard::GuardContext, web};
use chrono::{DateTime, Utc};
use sovd_domain::{Insight, InsightId};
use uuid::Uuid;

use crate::{
    extract::{Authorized, PathId},
    permissions::ReadInsights,
    problem::Problem,
    state::ApiState,
};

response_body! {
    /// A failure pattern of one component, reported to the manufacturer.
    #[schema(as = Insight)]
    InsightBody from insight: Insight {
        /// Identifies the insight.
        id: Uuid = insight.id.0,
        /// The component that fails.
        #[schema(example = "coolant pump")]
        component_name: String,
        /// How it fails.
        #[schema(example = "P0217: 3 confirmed failures on 2 vehicles")]
        failure_pattern: String,
        /// The affected vehicles; null if unknown.
        #[schema(example = "Tesla Model 3 2023")]
        affected_batch: Option<String>,
        /// The recommended remedy; null if unknown.
        recommendation: Option<String>,
        /// Confidence from 0 to 1; null if unknown. For a derived insight, the share of confirmed failures
        /// among the anomalies that workshops had closed when it was derived.
        #[schema(example = 0.75)]
        confidence_score: Option<f64>,
        /// When the insight was created.
        created_at: DateTime<Utc>,
    }
}

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
    state: web::Data<ApiState>,
    insight_id: PathId<InsightId>,
) -> Result<web::Json<InsightBody>, Problem> {
    let insight = state.insights.get(&caller, insight_id.0).await?;
    Ok(web::Json(insight.into()))
}

/// Excludes `/insights/derive`, so that `GET` returns 405 instead of rejecting `derive` as an id.
fn is_not_derive(context: &GuardContext<'_>) -> bool {
    !context.head().uri.path().ends_with("/derive")
}
