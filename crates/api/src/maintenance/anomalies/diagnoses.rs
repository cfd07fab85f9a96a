use actix_web::{HttpRequest, HttpResponse, get, web::Data};
use serde::Deserialize;
use sovd_domain::AnomalyId;
use utoipa::IntoParams;

use super::DiagnosisBody;
use crate::{
    extract::{Authorized, PathId, QueryParams, page, page_of},
    permissions::ReadAnomalies,
    problem::Problem,
    state::ApiState,
};

/// Which diagnoses.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListDiagnoses {
    /// How many at most: 1 to 100, 50 when left out.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<i64>,
    /// How many to pass over: 0 or more.
    #[param(minimum = 0)]
    offset: Option<i64>,
}

/// List the diagnoses of an anomaly
///
/// Newest first. `X-Total-Count` tells how many there are, `Link` where the next and the previous page
/// are.
#[utoipa::path(
    operation_id = "list_diagnoses",
    tag = "anomalies",
    security(("bearer" = [])),
    params(("anomaly_id" = Uuid, Path, description = "The anomaly"), ListDiagnoses),
    responses(
        (status = 200, description = "One page of the diagnoses",
         body = Vec<DiagnosisBody>,
         headers(("X-Total-Count" = i64), ("Link" = String))),
    ),
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
    let listing = state
        .anomalies
        .diagnoses(&authorized.caller, anomaly_id.0, page);
    let (diagnoses, total) = listing.await?;
    let bodies: Vec<DiagnosisBody> = diagnoses.into_iter().map(DiagnosisBody::from).collect();
    Ok(page_of(&request, page, total, bodies))
}
