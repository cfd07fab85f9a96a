//! What failures over the fleet tell those who make the vehicles.

use chrono::{DateTime, Utc};

use crate::ids::InsightId;

/// What failures tell those who make the vehicles.
#[derive(Debug, Clone, PartialEq)]
pub struct Insight {
    /// Identifies the insight.
    pub id: InsightId,
    /// The part that fails.
    pub component_name: String,
    /// How it fails.
    pub failure_pattern: String,
    /// Which vehicles it concerns.
    pub affected_batch: Option<String>,
    /// What to do about it.
    pub recommendation: Option<String>,
    /// How sure it is, from 0 to 1; of a derived one the share of confirmed failures among those that
    /// workshops had looked at when it was written.
    pub confidence_score: Option<f64>,
    /// When it was written.
    pub created_at: DateTime<Utc>,
}
