//! What is not as it should be with a vehicle, from its detection until a workshop has looked.

use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::{
    ids::{AnomalyId, CommandId, DiagnosisId, ResponseId, VehicleId},
    text_enum::text_enum,
};

/// Something that is not as it should be with a vehicle.
#[derive(Debug, Clone, PartialEq)]
pub struct Anomaly {
    /// Identifies the anomaly.
    pub id: AnomalyId,
    /// The vehicle.
    pub vehicle_id: VehicleId,
    /// When it was found.
    pub detected_at: DateTime<Utc>,
    /// What kind it is, such as `emissions`.
    pub anomaly_type: String,
    /// How bad it is.
    pub severity: Severity,
    /// What was measured or read when it was found; a JSON object.
    pub sensor_snapshot: Option<Value>,
    /// The remaining useful life, in the unit of whoever predicts.
    pub rul_prediction: Option<f64>,
    /// The part of the vehicle that is suspected; nothing when nobody said.
    pub component_name: Option<String>,
    /// Where it came from; nothing when somebody reported it.
    pub source: Option<Detection>,
    /// How it ended; nothing while no workshop has looked.
    pub closure: Option<Closure>,
}

/// A trouble code that a rule matched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Detection {
    /// The rule.
    pub rule_name: String,
    /// The code (SAE J2012).
    pub dtc_code: String,
    /// The command whose answer had the code; nothing when it is deleted.
    pub command_id: Option<CommandId>,
    /// The part of the answer that had the code; nothing when it is deleted.
    pub response_id: Option<ResponseId>,
}

/// How an anomaly ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Closure {
    /// What the workshop found.
    pub outcome: Outcome,
    /// When it said so.
    pub closed_at: DateTime<Utc>,
}

/// What somebody takes for the cause of an anomaly.
#[derive(Debug, Clone, PartialEq)]
pub struct Diagnosis {
    /// Identifies the diagnosis.
    pub id: DiagnosisId,
    /// The anomaly.
    pub anomaly_event_id: AnomalyId,
    /// The cause, in words.
    pub diagnosis_text: String,
    /// How sure it is, from 0 to 1.
    pub confidence_score: f64,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

text_enum! {
    /// How bad an anomaly is.
    Severity, "severity" {
        /// It can wait for the next service.
        Low = "Low",
        /// It should be looked at soon.
        Medium = "Medium",
        /// It should be looked at now.
        High = "High",
        /// The vehicle should not be driven.
        Critical = "Critical",
    }
}

text_enum! {
    /// What a workshop found of an anomaly.
    Outcome, "outcome" {
        /// It is there.
        Confirmed = "confirmed",
        /// Nothing is wrong.
        NoFaultFound = "no_fault_found",
        /// Something else is wrong.
        Other = "other",
    }
}
