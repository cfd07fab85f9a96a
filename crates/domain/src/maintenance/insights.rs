use chrono::{DateTime, Utc};

use crate::ids::InsightId;

/// A failure pattern of one component, reported to the manufacturer.
#[derive(Debug, Clone, PartialEq)]
pub struct Insight {
    /// Identifies the insight.
    pub id: InsightId,
    /// The component that fails.
    pub component_name: String,
    /// How it fails.
    pub failure_pattern: String,
    /// The affected vehicles, such as a model and model year.
    pub affected_batch: Option<String>,
    /// The recommended remedy.
    pub recommendation: Option<String>,
    /// Confidence from 0 to 1. For a derived insight, the share of confirmed failures among the
    /// anomalies that workshops had closed when it was derived.
    pub confidence_score: Option<f64>,
    /// When the insight was created.
    pub created_at: DateTime<Utc>,
}
