use actix_web::{HttpRequest, HttpResponse, get, web::Data};
use chrono::{DateTime, Utc};
use serde::Deserialize;
use sovd_domain::{Anomaly, Page, Severity, VehicleId};
use sovd_services::maintenance::anomalies::AnomalyFilter;
use utoipa::IntoParams;
use uuid::Uuid;

use super::AnomalyBody;
use crate::{
    extract::{Authorized, PathId, QueryParams, moment, page, page_of},
    permissions::ReadAnomalies,
    problem::Problem,
    state::ApiState,
};

/// Which anomalies.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListAnomalies {
    /// Those of this vehicle.
    vehicle_id: Option<Uuid>,
    /// Those that are this bad: `Low`, `Medium`, `High` or `Critical`.
    #[param(value_type = Option<String>, pattern = "^(Low|Medium|High|Critical)$")]
    severity: Option<Severity>,
    /// Those of this kind exactly.
    anomaly_type: Option<String>,
    /// Those found at or after this moment (RFC 3339).
    start_date: Option<DateTime<Utc>>,
    /// Those found at or before this moment (RFC 3339).
    end_date: Option<DateTime<Utc>>,
    /// How many at most: 1 to 100, 50 when left out.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<i64>,
    /// How many to pass over: 0 or more.
    #[param(minimum = 0)]
    offset: Option<i64>,
}

/// Which anomalies of a vehicle.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListVehicleAnomalies {
    /// Those that are this bad: `Low`, `Medium`, `High` or `Critical`.
    #[param(value_type = Option<String>, pattern = "^(Low|Medium|High|Critical)$")]
    severity: Option<Severity>,
    /// Those of this kind exactly.
    anomaly_type: Option<String>,
    /// Those found at or after this moment (RFC 3339).
    start_date: Option<DateTime<Utc>>,
    /// Those found at or before this moment (RFC 3339).
    end_date: Option<DateTime<Utc>>,
    /// How many at most: 1 to 100, 50 when left out.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<i64>,
    /// How many to pass over: 0 or more.
    #[param(minimum = 0)]
    offset: Option<i64>,
}

/// List anomalies
///
/// Newest first; to a customer those of the own vehicles. `X-Total-Count` tells how many match, `Link`
/// where the next and the previous page are.
#[utoipa::path(
    operation_id = "list_anomalies",
    tag = "anomalies",
    security(("bearer" = [])),
    params(ListAnomalies),
    responses(
        (status = 200, description = "One page of the anomalies that match",
         body = Vec<AnomalyBody>,
         headers(("X-Total-Count" = i64), ("Link" = String))),
    ),
)]
#[get("")]
pub(crate) async fn list(
    request: HttpRequest,
    authorized: Authorized<ReadAnomalies>,
    state: Data<ApiState>,
    query: QueryParams<ListAnomalies>,
) -> Result<HttpResponse, Problem> {
    let query = query.0;
    let page = page(query.limit, query.offset)?;
    let filter = AnomalyFilter {
        vehicle_id: query.vehicle_id.map(VehicleId),
        severity: query.severity,
        anomaly_type: query.anomaly_type,
        ..within(query.start_date, query.end_date)?
    };
    let listing = state.anomalies.list(&authorized.caller, filter, page);
    let (found, total) = listing.await?;
    Ok(answer(&request, found, page, total))
}

/// List the anomalies of a vehicle
///
/// Newest first. `X-Total-Count` tells how many match, `Link` where the next and the previous page are.
#[utoipa::path(
    operation_id = "list_vehicle_anomalies",
    tag = "anomalies",
    security(("bearer" = [])),
    params(("vehicle_id" = Uuid, Path, description = "The vehicle"), ListVehicleAnomalies),
    responses(
        (status = 200, description = "One page of the vehicle's anomalies that match",
         body = Vec<AnomalyBody>,
         headers(("X-Total-Count" = i64), ("Link" = String))),
    ),
)]
#[get("/{vehicle_id}/anomalies")]
pub(crate) async fn list_of_vehicle(
    request: HttpRequest,
    authorized: Authorized<ReadAnomalies>,
    state: Data<ApiState>,
    vehicle_id: PathId<VehicleId>,
    query: QueryParams<ListVehicleAnomalies>,
) -> Result<HttpResponse, Problem> {
    let query = query.0;
    let page = page(query.limit, query.offset)?;
    let filter = AnomalyFilter {
        severity: query.severity,
        anomaly_type: query.anomaly_type,
        ..within(query.start_date, query.end_date)?
    };
    let listing = state
        .anomalies
        .list_of_vehicle(&authorized.caller, vehicle_id.0, filter, page);
    let (found, total) = listing.await?;
    Ok(answer(&request, found, page, total))
}

/// Those found between two moments.
fn within(
    start_date: Option<DateTime<Utc>>,
    end_date: Option<DateTime<Utc>>,
) -> Result<AnomalyFilter, Problem> {
    Ok(AnomalyFilter {
        start: moment("start_date", start_date)?,
        end: moment("end_date", end_date)?,
        ..AnomalyFilter::default()
    })
}

fn answer(request: &HttpRequest, found: Vec<Anomaly>, page: Page, total: i64) -> HttpResponse {
    let bodies: Vec<AnomalyBody> = found.into_iter().map(AnomalyBody::from).collect();
    page_of(request, page, total, bodies)
}
