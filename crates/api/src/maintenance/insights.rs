//! `/api/v1/insights`

pub(crate) mod create;
pub(crate) mod derive;
pub(crate) mod detectors;
pub(crate) mod get;
pub(crate) mod list;
pub(crate) mod summary;

use chrono::{DateTime, Utc};
use serde::Serialize;
use sovd_domain::Insight;
use utoipa::ToSchema;
use uuid::Uuid;

/// A failure pattern of one component, reported to the manufacturer.
#[derive(Serialize, ToSchema)]
#[schema(as = Insight)]
pub(crate) struct InsightBody {
    /// Identifies the insight.
    id: Uuid,
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

impl From<Insight> for InsightBody {
    fn from(insight: Insight) -> Self {
        Self {
            id: insight.id.0,
            component_name: insight.component_name,
            failure_pattern: insight.failure_pattern,
            affected_batch: insight.affected_batch,
            recommendation: insight.recommendation,
            confidence_score: insight.confidence_score,
            created_at: insight.created_at,
        }
    }
}
