//! `/api/v1/anomalies` and `/api/v1/vehicles/{vehicle_id}/anomalies`

pub(crate) mod diagnoses;
pub(crate) mod list;
pub(crate) mod report;

use actix_web::{get, web};
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use sovd_domain::{Anomaly, AnomalyId, Detection, Diagnosis};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    extract::{Authorized, PathId},
    permissions::ReadAnomalies,
    problem::Problem,
    state::ApiState,
};

response_body! {
    /// A suspected defect of a vehicle.
    #[schema(as = Anomaly)]
    AnomalyBody from anomaly: Anomaly {
        /// Identifies the anomaly.
        id: Uuid = anomaly.id.0,
        /// The vehicle.
        vehicle_id: Uuid = anomaly.vehicle_id.0,
        /// When it was detected.
        detected_at: DateTime<Utc>,
        /// The kind of anomaly.
        #[schema(example = "emissions")]
        anomaly_type: String,
        /// `Low`, `Medium`, `High` or `Critical`.
        #[schema(example = "Medium")]
        severity: &'static str = anomaly.severity.as_str(),
        /// The measurements at detection.
        #[schema(value_type = Option<Object>)]
        sensor_snapshot: Option<Value>,
        /// The remaining useful life, in the unit of the predictor.
        rul_prediction: Option<f64>,
        /// The suspected component; null if unknown.
        #[schema(example = "catalytic converter")]
        component_name: Option<String>,
        /// The rule match that detected it; null for a reported anomaly.
        source: Option<DetectionBody> = anomaly.source.map(DetectionBody::from),
        /// The finding of a workshop: `confirmed`, `no_fault_found` or `other`; null while the anomaly is
        /// open.
        outcome: Option<&'static str> = anomaly.closure.map(|closure| closure.outcome.as_str()),
        /// When the anomaly was closed; null while it is open.
        closed_at: Option<DateTime<Utc>> = anomaly.closure.map(|closure| closure.closed_at),
    }
}

response_body! {
    /// A trouble code that matched a rule.
    #[schema(as = Detection)]
    DetectionBody from detection: Detection {
        /// The name of the rule.
        #[schema(example = "catalyst-efficiency")]
        rule: String = detection.rule_name,
        /// The trouble code (SAE J2012).
        #[schema(example = "P0420")]
        dtc_code: String,
        /// The command whose response contained the code; null after its deletion.
        command_id: Option<Uuid> = detection.command_id.map(|id| id.0),
        /// The response chunk that contained the code; null after its deletion.
        response_id: Option<Uuid> = detection.response_id.map(|id| id.0),
    }
}

response_body! {
    /// A presumed cause of an anomaly.
    #[schema(as = Diagnosis)]
    DiagnosisBody from diagnosis: Diagnosis {
        /// Identifies the diagnosis.
        id: Uuid = diagnosis.id.0,
        /// The anomaly.
        anomaly_event_id: Uuid = diagnosis.anomaly_event_id.0,
        /// The cause, in prose.
        #[schema(example = "The rear brake pads are worn.")]
        diagnosis_text: String,
        /// Confidence from 0 to 1.
        #[schema(example = 0.93)]
        confidence_score: f64,
        /// When the diagnosis was created.
        created_at: DateTime<Utc>,
    }
}

/// An anomaly and its diagnoses.
#[derive(Serialize, ToSchema)]
#[schema(as = DiagnosedAnomaly)]
pub(crate) struct DiagnosedAnomalyBody {
    #[serde(flatten)]
    anomaly: AnomalyBody,
    /// The newest 100 diagnoses, newest first. `GET /api/v1/anomalies/{anomaly_id}/diagnoses` lists all.
    diagnoses: Vec<DiagnosisBody>,
}

/// Get an anomaly
///
/// Includes its diagnoses.
#[utoipa::path(
    operation_id = "get_anomaly",
    tag = "anomalies",
    params(("anomaly_id" = Uuid, Path, description = "The anomaly")),
    responses((status = 200, description = "The anomaly", body = DiagnosedAnomalyBody)),
)]
#[get("/{anomaly_id}")]
pub(crate) async fn get_anomaly(
    caller: Authorized<ReadAnomalies>,
    state: web::Data<ApiState>,
    anomaly_id: PathId<AnomalyId>,
) -> Result<web::Json<DiagnosedAnomalyBody>, Problem> {
    let (anomaly, diagnoses) = state.anomalies.get(&caller, anomaly_id.0).await?;
    Ok(web::Json(DiagnosedAnomalyBody {
        anomaly: anomaly.into(),
        diagnoses: diagnoses.into_iter().map(DiagnosisBody::from).collect(),
    }))
}
