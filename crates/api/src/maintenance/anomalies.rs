//! `/api/v1/anomalies`, and those of one vehicle

pub(crate) mod diagnose;
pub(crate) mod diagnoses;
pub(crate) mod get;
pub(crate) mod list;
pub(crate) mod report;

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use sovd_domain::{Anomaly, Detection, Diagnosis};
use utoipa::ToSchema;
use uuid::Uuid;

/// Something that is not as it should be with a vehicle.
#[derive(Serialize, ToSchema)]
#[schema(as = Anomaly)]
pub(crate) struct AnomalyBody {
    /// Identifies the anomaly.
    id: Uuid,
    /// The vehicle.
    vehicle_id: Uuid,
    /// When it was found.
    detected_at: DateTime<Utc>,
    /// What kind it is.
    #[schema(example = "emissions")]
    anomaly_type: String,
    /// `Low`, `Medium`, `High` or `Critical`.
    #[schema(example = "Medium")]
    severity: &'static str,
    /// What was measured or read when it was found.
    #[schema(value_type = Option<Object>)]
    sensor_snapshot: Option<Value>,
    /// The remaining useful life, in the unit of whoever predicts.
    rul_prediction: Option<f64>,
    /// The part of the vehicle that is suspected; null when nobody said.
    #[schema(example = "catalytic converter")]
    component_name: Option<String>,
    /// Where it came from; null when somebody reported it.
    source: Option<DetectionBody>,
    /// What a workshop found: `confirmed`, `no_fault_found` or `other`; null while none has looked.
    outcome: Option<&'static str>,
    /// When it said so.
    closed_at: Option<DateTime<Utc>>,
}

/// A trouble code that a rule matched.
#[derive(Serialize, ToSchema)]
#[schema(as = Detection)]
pub(crate) struct DetectionBody {
    /// The rule.
    #[schema(example = "catalyst-efficiency")]
    rule: String,
    /// The code (SAE J2012).
    #[schema(example = "P0420")]
    dtc_code: String,
    /// The command whose answer had the code; null when it is deleted.
    command_id: Option<Uuid>,
    /// The part of the answer that had the code; null when it is deleted.
    response_id: Option<Uuid>,
}

/// What somebody takes for the cause of an anomaly.
#[derive(Serialize, ToSchema)]
#[schema(as = Diagnosis)]
pub(crate) struct DiagnosisBody {
    /// Identifies the diagnosis.
    id: Uuid,
    /// The anomaly.
    anomaly_event_id: Uuid,
    /// The cause, in words.
    #[schema(example = "The rear brake pads are worn.")]
    diagnosis_text: String,
    /// How sure it is, from 0 to 1.
    #[schema(example = 0.93)]
    confidence_score: f64,
    /// When it was made.
    created_at: DateTime<Utc>,
}

impl From<Anomaly> for AnomalyBody {
    fn from(anomaly: Anomaly) -> Self {
        Self {
            id: anomaly.id.0,
            vehicle_id: anomaly.vehicle_id.0,
            detected_at: anomaly.detected_at,
            anomaly_type: anomaly.anomaly_type,
            severity: anomaly.severity.as_str(),
            sensor_snapshot: anomaly.sensor_snapshot,
            rul_prediction: anomaly.rul_prediction,
            component_name: anomaly.component_name,
            source: anomaly.source.map(DetectionBody::from),
            outcome: anomaly.closure.map(|closure| closure.outcome.as_str()),
            closed_at: anomaly.closure.map(|closure| closure.closed_at),
        }
    }
}

impl From<Detection> for DetectionBody {
    fn from(detection: Detection) -> Self {
        Self {
            rule: detection.rule_name,
            dtc_code: detection.dtc_code,
            command_id: detection.command_id.map(|id| id.0),
            response_id: detection.response_id.map(|id| id.0),
        }
    }
}

impl From<Diagnosis> for DiagnosisBody {
    fn from(diagnosis: Diagnosis) -> Self {
        Self {
            id: diagnosis.id.0,
            anomaly_event_id: diagnosis.anomaly_event_id.0,
            diagnosis_text: diagnosis.diagnosis_text,
            confidence_score: diagnosis.confidence_score,
            created_at: diagnosis.created_at,
        }
    }
}
