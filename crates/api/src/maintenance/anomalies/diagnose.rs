use actix_web::{HttpResponse, http::header::LOCATION, post, web::Data};
use serde::Deserialize;
use sovd_domain::AnomalyId;
use sovd_services::maintenance::anomalies::NewDiagnosis;
use utoipa::ToSchema;

use super::DiagnosisBody;
use crate::{
    extract::{Authorized, JsonBody, PathId},
    permissions::RecordAnomalies,
    problem::Problem,
    state::ApiState,
};

/// What somebody takes for the cause.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DiagnoseRequest {
    /// The cause, in words: 1 to 10,000 characters.
    #[schema(
        min_length = 1,
        max_length = 10_000,
        example = "The rear brake pads are worn."
    )]
    diagnosis_text: String,
    /// How sure it is: 0 to 1.
    #[schema(minimum = 0, maximum = 1, example = 0.93)]
    confidence_score: f64,
}

/// Diagnose an anomaly
#[utoipa::path(
    operation_id = "diagnose_anomaly",
    tag = "anomalies",
    security(("bearer" = [])),
    params(("anomaly_id" = Uuid, Path, description = "The anomaly")),
    request_body = DiagnoseRequest,
    responses(
        (status = 201, description = "It is among the diagnoses, where `Location` points",
         body = DiagnosisBody, headers(("Location" = String))),
    ),
)]
#[post("/{anomaly_id}/diagnoses")]
pub(crate) async fn diagnose(
    authorized: Authorized<RecordAnomalies>,
    state: Data<ApiState>,
    anomaly_id: PathId<AnomalyId>,
    body: JsonBody<DiagnoseRequest>,
) -> Result<HttpResponse, Problem> {
    let new = NewDiagnosis {
        diagnosis_text: body.0.diagnosis_text,
        confidence_score: body.0.confidence_score,
    };
    let diagnosing = state
        .anomalies
        .diagnose(&authorized.caller, anomaly_id.0, new);
    let diagnosis = diagnosing.await?;
    let location = format!("/api/v1/anomalies/{}/diagnoses", anomaly_id.0);
    Ok(HttpResponse::Created()
        .insert_header((LOCATION, location))
        .json(DiagnosisBody::from(diagnosis)))
}
