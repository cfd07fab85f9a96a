use actix_web::{get, web};
use serde::Serialize;
use sovd_domain::AnomalyId;
use utoipa::ToSchema;

use super::{AnomalyBody, DiagnosisBody};
use crate::{
    extract::{Authorized, PathId},
    permissions::ReadAnomalies,
    problem::Problem,
    state::ApiState,
};

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
