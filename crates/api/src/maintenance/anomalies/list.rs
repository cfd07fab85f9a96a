use actix_web::{HttpResponse, get, web::Data};
use chrono::{DateTime, Utc};
use sovd_domain::{Severity, VehicleId};
use sovd_services::maintenance::anomalies::AnomalyFilter;
use uuid::Uuid;

use super::AnomalyBody;
use crate::{
    extract::{Authorized, ListQuery, PathId, list_query, moment},
    permissions::ReadAnomalies,
    problem::Problem,
    state::ApiState,
};

/// Declares the parameters of a list of anomalies: the given ones and those that both lists have.
macro_rules! anomalies_query {
    ($Query:ident { $($parameters:tt)* }) => {
        list_query! {
            $Query by AnomalyKey {
                $($parameters)*
                /// Anomalies of this severity: `Low`, `Medium`, `High` or `Critical`.
                #[param(value_type = Option<String>, pattern = "^(Low|Medium|High|Critical)$")]
                severity: Option<Severity>,
                /// Anomalies of exactly this type.
                anomaly_type: Option<String>,
                /// Anomalies detected at or after this time (RFC 3339).
                start_date: Option<DateTime<Utc>>,
                /// Anomalies detected at or before this time (RFC 3339).
                end_date: Option<DateTime<Utc>>,
            }
        }

        impl $Query {
            /// Returns the filter, regardless of the vehicle.
            fn filter(self) -> Result<AnomalyFilter, Problem> {
                Ok(AnomalyFilter {
                    vehicle_id: None,
                    severity: self.severity,
                    anomaly_type: self.anomaly_type,
                    start: moment("start_date", self.start_date)?,
                    end: moment("end_date", self.end_date)?,
                })
            }
        }
    };
}

anomalies_query! {
    ListAnomalies {
        /// Anomalies of this vehicle.
        vehicle_id: Option<Uuid>,
    }
}

anomalies_query! {
    ListVehicleAnomalies {}
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
    caller: Authorized<ReadAnomalies>,
    state: Data<ApiState>,
    request: ListQuery<ListAnomalies>,
) -> Result<HttpResponse, Problem> {
    let ListQuery {
        query,
        page,
        paging,
    } = request;
    let filter = AnomalyFilter {
        vehicle_id: query.vehicle_id.map(VehicleId),
        ..query.filter()?
    };
    let anomalies = state.anomalies.list(&caller, &filter, page).await?;
    Ok(paging.respond::<_, AnomalyBody>(anomalies))
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
    caller: Authorized<ReadAnomalies>,
    state: Data<ApiState>,
    vehicle_id: PathId<VehicleId>,
    request: ListQuery<ListVehicleAnomalies>,
) -> Result<HttpResponse, Problem> {
    let ListQuery {
        query,
        page,
        paging,
    } = request;
    let filter = query.filter()?;
    let anomalies = state
        .anomalies
        .list_of_vehicle(&caller, vehicle_id.0, filter, page)
        .await?;
    Ok(paging.respond::<_, AnomalyBody>(anomalies))
}
