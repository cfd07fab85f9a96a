use actix_web::{HttpResponse, get, post, web::Data};
use sovd_domain::AnomalyId;
use sovd_services::maintenance::anomalies::NewDiagnosis;

use super::DiagnosisBody;
use crate::{
    extract::{Authorized, JsonBody, ListQuery, PathId, created, list_query},
    permissions::{ReadAnomalies, RecordAnomalies},
    problem::Problem,
    state::ApiState,
};

list_query! {
    /// Selects diagnoses.
    ListDiagnoses {}
}

/// List the diagnoses of an anomaly
///
/// Newest first. `X-Total-Count` is the number of diagnoses; `Link` points to the next and the previous
/// page.
#[utoipa::path(
    operation_id = "list_diagnoses",
    tag = "anomalies",
    params(("anomaly_id" = Uuid, Path, description = "The anomaly"), ListDiagnoses),
    responses((status = 200, description = "A page of diagnoses", body = Vec<DiagnosisBody>)),
)]
#[get("/{anomaly_id}/diagnoses")]
pub(crate) async fn list(
    caller: Authorized<ReadAnomalies>,
    state: Data<ApiState>,
    anomaly_id: PathId<AnomalyId>,
    request: ListQuery<ListDiagnoses>,
) -> Result<HttpResponse, Problem> {
    let paging = request.paging;
    let diagnoses = state
        .anomalies
        .diagnoses(&caller, anomaly_id.0, request.page)
        .await?;
    Ok(paging.respond::<_, DiagnosisBody>(diagnoses))
}

request_body! {
    /// A new diagnosis.
    DiagnoseRequest as body into NewDiagnosis {
        /// The cause, in prose: 1 to 10,000 characters.
        #[schema(
            min_length = 1,
            max_length = 10_000,
            example = "The rear brake pads are worn."
        )]
        diagnosis_text: String,
        /// Confidence from 0 to 1.
        #[schema(minimum = 0, maximum = 1, example = 0.93)]
        confidence_score: f64,
    }
}

/// Diagnose an anomaly
#[utoipa::path(
    operation_id = "diagnose_anomaly",
    tag = "anomalies",
    params(("anomaly_id" = Uuid, Path, description = "The anomaly")),
    request_body = DiagnoseRequest,
    responses(
        (status = 201, description = "The diagnosis; `Location` points to the list that contains it",
         body = DiagnosisBody, headers(("Location" = String))),
    ),
)]
#[post("/{anomaly_id}/diagnoses")]
pub(crate) async fn diagnose(
    caller: Authorized<RecordAnomalies>,
    state: Data<ApiState>,
    anomaly_id: PathId<AnomalyId>,
    body: JsonBody<DiagnoseRequest>,
) -> Result<HttpResponse, Problem> {
    let diagnosis = state
        .anomalies
        .diagnose(&caller, anomaly_id.0, body.0.into())
        .await?;
    let location = format!("/api/v1/anomalies/{}/diagnoses", anomaly_id.0);
    Ok(created(location, DiagnosisBody::from(diagnosis)))
}
