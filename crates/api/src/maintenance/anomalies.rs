//! `/api/v1/anomalies` and `/api/v1/vehicles/{vehicle_id}/anomalies`

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

/// A suspected defect of a vehicle.
#[derive(Serialize, ToSchema)]
#[schema(as = Anomaly)]
pub(crate) struct AnomalyBody {
    /// Identifies the anomaly.
    id: Uuid,
    /// The vehicle.
    vehicle_id: Uuid,
    /// When it was detected.
    detected_at: DateTime<Utc>,
    /// The kind of anomaly.
    #[schema(example = "emissions")]
    anomaly_type: String,
    /// `Low`, `Medium`, `High` or `Critical`.
    #[schema(example = "Medium")]
    severity: &'static str,
    /// The measurements at detection.
    #[schema(value_type = Option<Object>)]
    sensor_snapshot: Option<Value>,
    /// The remaining useful life, in the unit of the predictor.
    rul_prediction: Option<f64>,
    /// The suspected component; null if unknown.
    #[schema(example = "catalytic converter")]
    component_name: Option<String>,
    /// The rule match that detected it; null for a reported anomaly.
    source: Option<DetectionBody>,
    /// The finding of a workshop: `confirmed`, `no_fault_found` or `other`; null while the anomaly is
    /// open.
    outcome: Option<&'static str>,
    /// When the anomaly was closed; null while it is open.
    closed_at: Option<DateTime<Utc>>,
}

/// A trouble code that matched a rule.
#[derive(Serialize, ToSchema)]
#[schema(as = Detection)]
pub(crate) struct DetectionBody {
    /// The name of the rule.
    #[schema(example = "catalyst-efficiency")]
    rule: String,
    /// The trouble code (SAE J2012).
    #[schema(example = "P0420")]
    dtc_code: String,
    /// The command whose response contained the code; null after its deletion.
    command_id: Option<Uuid>,
    /// The response chunk that contained the code; null after its deletion.
    response_id: Option<Uuid>,
}

/// A presumed cause of an anomaly.
#[derive(Serialize, ToSchema)]
#[schema(as = Diagnosis)]
pub(crate) struct DiagnosisBody {
    /// Identifies the diagnosis.
    id: Uuid,
    /// The anomaly.
    anomaly_event_id: Uuid,
    /// The cause, in prose.
    #[schema(example = "The rear brake pads are worn.")]
    diagnosis_text: String,
    /// Confidence from 0 to 1.
    #[schema(example = 0.93)]
    confidence_score: f64,
    /// When the diagnosis was created.
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
