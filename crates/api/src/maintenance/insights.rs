//! `/api/v1/insights`

pub(crate) mod create;
pub(crate) mod derive;
pub(crate) mod detectors;
pub(crate) mod get;
pub(crate) mod list;
pub(crate) mod summary;

use chrono::{DateTime, Utc};
use sovd_domain::Insight;
use uuid::Uuid;

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
