use actix_web::{HttpRequest, HttpResponse, get, http::header::LOCATION, post, web::Data};
use serde::Deserialize;
use sovd_domain::AnomalyId;
use sovd_services::maintenance::anomalies::NewDiagnosis;
use utoipa::{IntoParams, ToSchema};

use super::DiagnosisBody;
use crate::{
    extract::{Authorized, JsonBody, PathId, QueryParams, page, page_of},
    permissions::{ReadAnomalies, RecordAnomalies},
    problem::Problem,
    state::ApiState,
};

/// Selects diagnoses.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListDiagnoses {
    /// Maximum number of items: 1 to 100; default 50.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<i64>,
    /// Number of items to skip: 0 or more; default 0.
    #[param(minimum = 0)]
    offset: Option<i64>,
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
    request: HttpRequest,
    authorized: Authorized<ReadAnomalies>,
    state: Data<ApiState>,
    anomaly_id: PathId<AnomalyId>,
    query: QueryParams<ListDiagnoses>,
) -> Result<HttpResponse, Problem> {
    let page = page(query.0.limit, query.0.offset)?;
    let (diagnoses, total) = state
        .anomalies
        .diagnoses(&authorized.caller, anomaly_id.0, page)
        .await?;
    let bodies: Vec<DiagnosisBody> = diagnoses.into_iter().map(DiagnosisBody::from).collect();
    Ok(page_of(&request, page, total, bodies))
}

/// A new diagnosis.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DiagnoseRequest {
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
    authorized: Authorized<RecordAnomalies>,
    state: Data<ApiState>,
    anomaly_id: PathId<AnomalyId>,
    body: JsonBody<DiagnoseRequest>,
) -> Result<HttpResponse, Problem> {
    let new = NewDiagnosis {
        diagnosis_text: body.0.diagnosis_text,
        confidence_score: body.0.confidence_score,
    };
    let diagnosis = state
        .anomalies
        .diagnose(&authorized.caller, anomaly_id.0, new)
        .await?;
    let location = format!("/api/v1/anomalies/{}/diagnoses", anomaly_id.0);
    Ok(HttpResponse::Created()
        .insert_header((LOCATION, location))
        .json(DiagnosisBody::from(diagnosis)))
}
