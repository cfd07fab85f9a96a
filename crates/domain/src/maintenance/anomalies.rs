//! Anomalies of vehicles, from detection to the finding of a workshop, and their diagnoses.

use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::{
    ids::{AnomalyId, CommandId, DiagnosisId, ResponseId, VehicleId},
    text_enum::text_enum,
};

/// A suspected defect of a vehicle.
#[derive(Debug, Clone, PartialEq)]
pub struct Anomaly {
    /// Identifies the anomaly.
    pub id: AnomalyId,
    /// The vehicle.
    pub vehicle_id: VehicleId,
    /// When it was detected.
    pub detected_at: DateTime<Utc>,
    /// The kind of anomaly, such as `emissions`.
    pub anomaly_type: String,
    /// How urgent it is.
    pub severity: Severity,
    /// The measurements at detection; a JSON object.
    pub sensor_snapshot: Option<Value>,
    /// The remaining useful life, in the unit of the predictor.
    pub rul_prediction: Option<f64>,
    /// The suspected component.
    pub component_name: Option<String>,
    /// The rule match that detected it; `None` for a reported anomaly.
    pub source: Option<Detection>,
    /// The finding of a workshop; `None` while the anomaly is open.
    pub closure: Option<Closure>,
}

/// A trouble code that matched a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Detection {
    /// The name of the rule.
    pub rule_name: String,
    /// The trouble code (SAE J2012).
    pub dtc_code: String,
    /// The command whose response contained the code; `None` after its deletion.
    pub command_id: Option<CommandId>,
    /// The response chunk that contained the code; `None` after its deletion.
    pub response_id: Option<ResponseId>,
}

/// The end of an anomaly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Closure {
    /// The workshop's finding.
    pub outcome: Outcome,
    /// When the anomaly was closed.
    pub closed_at: DateTime<Utc>,
}

/// A presumed cause of an anomaly.
#[derive(Debug, Clone, PartialEq)]
pub struct Diagnosis {
    /// Identifies the diagnosis.
    pub id: DiagnosisId,
    /// The anomaly.
    pub anomaly_event_id: AnomalyId,
    /// The cause, in prose.
    pub diagnosis_text: String,
    /// Confidence from 0 to 1.
    pub confidence_score: f64,
    /// When the diagnosis was created.
    pub created_at: DateTime<Utc>,
}

text_enum! {
    /// How urgent an anomaly is.
    Severity, "severity" {
        /// It can wait for the next service.
        Low = "Low",
        /// It should be examined soon.
        Medium = "Medium",
        /// It should be examined at once.
        High = "High",
        /// The vehicle should not be driven.
        Critical = "Critical",
    }
}

text_enum! {
    /// A workshop's finding about an anomaly.
    Outcome, "outcome" {
        /// The suspected defect is present.
        Confirmed = "confirmed",
        /// No defect was found.
        NoFaultFound = "no_fault_found",
        /// A different defect was found.
        Other = "other",
    }
}
