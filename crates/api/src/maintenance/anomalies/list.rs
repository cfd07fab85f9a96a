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

/// Selects anomalies.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListAnomalies {
    /// Anomalies of this vehicle.
    vehicle_id: Option<Uuid>,
    /// Anomalies of this severity: `Low`, `Medium`, `High` or `Critical`.
    #[param(value_type = Option<String>, pattern = "^(Low|Medium|High|Critical)$")]
    severity: Option<Severity>,
    /// Anomalies of exactly this type.
    anomaly_type: Option<String>,
    /// Anomalies detected at or after this time (RFC 3339).
    start_date: Option<DateTime<Utc>>,
    /// Anomalies detected at or before this time (RFC 3339).
    end_date: Option<DateTime<Utc>>,
    /// Maximum number of items: 1 to 100; default 50.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<i64>,
    /// Number of items to skip: 0 or more; default 0.
    #[param(minimum = 0)]
    offset: Option<i64>,
}

/// Selects anomalies of a vehicle.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListVehicleAnomalies {
    /// Anomalies of this severity: `Low`, `Medium`, `High` or `Critical`.
    #[param(value_type = Option<String>, pattern = "^(Low|Medium|High|Critical)$")]
    severity: Option<Severity>,
    /// Anomalies of exactly this type.
    anomaly_type: Option<String>,
    /// Anomalies detected at or after this time (RFC 3339).
    start_date: Option<DateTime<Utc>>,
    /// Anomalies detected at or before this time (RFC 3339).
    end_date: Option<DateTime<Utc>>,
    /// Maximum number of items: 1 to 100; default 50.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<i64>,
    /// Number of items to skip: 0 or more; default 0.
    #[param(minimum = 0)]
    offset: Option<i64>,
}

/// List anomalies
///
/// Newest first. Customers see the anomalies of their own vehicles. `X-Total-Count` is the number of
/// matches; `Link` points to the next and the previous page.
#[utoipa::path(
    operation_id = "list_anomalies",
    tag = "anomalies",
    params(ListAnomalies),
    responses(
        (status = 200, description = "A page of matching anomalies",
         body = Vec<AnomalyBody>),
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
    let (anomalies, total) = state
        .anomalies
        .list(&authorized.caller, &filter, page)
        .await?;
    Ok(respond(&request, anomalies, page, total))
}

/// List the anomalies of a vehicle
///
/// Newest first. `X-Total-Count` is the number of matches; `Link` points to the next and the previous
/// page.
#[utoipa::path(
    operation_id = "list_vehicle_anomalies",
    tag = "anomalies",
    params(("vehicle_id" = Uuid, Path, description = "The vehicle"), ListVehicleAnomalies),
    responses(
        (status = 200, description = "A page of matching anomalies of the vehicle",
         body = Vec<AnomalyBody>),
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
    let (anomalies, total) = state
        .anomalies
        .list_of_vehicle(&authorized.caller, vehicle_id.0, filter, page)
        .await?;
    Ok(respond(&request, anomalies, page, total))
}

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

fn respond(request: &HttpRequest, anomalies: Vec<Anomaly>, page: Page, total: i64) -> HttpResponse {
    let bodies: Vec<AnomalyBody> = anomalies.into_iter().map(AnomalyBody::from).collect();
    page_of(request, page, total, bodies)
}
