use actix_web::{HttpResponse, post, web::Data};
use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::{Map, Value};
use sovd_domain::{Anomaly, Severity, VehicleId};
use sovd_services::maintenance::anomalies::NewAnomaly;
use utoipa::ToSchema;

use super::AnomalyBody;
use crate::{
    extract::{Authorized, JsonBody, PathId, created},
    permissions::RecordAnomalies,
    problem::Problem,
    state::ApiState,
};

/// Declares the body of a report: the given fields and those that both reports have.
macro_rules! report_body {
    ($(#[$($doc:tt)+])* $Request:ident { $($fields:tt)* }) => {
        $(#[$($doc)+])*
        #[derive(Deserialize, ToSchema)]
        #[serde(deny_unknown_fields)]
        pub(crate) struct $Request {
            $($fields)*
            /// The kind of anomaly: 1 to 100 characters.
            #[schema(min_length = 1, max_length = 100, example = "brakes")]
            anomaly_type: String,
            /// `Low`, `Medium`, `High` or `Critical`.
            #[schema(value_type = String, pattern = "^(Low|Medium|High|Critical)$", example = "Medium")]
            severity: Severity,
            /// The measurements at detection: an object of at most 64 KiB as JSON.
            #[schema(value_type = Option<Object>)]
            sensor_snapshot: Option<Map<String, Value>>,
            /// The remaining useful life, in the unit of the predictor: 0 or more.
            #[schema(minimum = 0)]
            rul_prediction: Option<f64>,
            /// The suspected component: 1 to 200 characters. Insights ignore anomalies without one.
            #[schema(min_length = 1, max_length = 200, example = "brake system")]
            component_name: Option<String>,
            /// When it was detected (RFC 3339): in 2000 or later and not in the future; default now.
            detected_at: Option<DateTime<Utc>>,
        }

        impl $Request {
            fn of_vehicle(self, vehicle_id: VehicleId) -> NewAnomaly {
                NewAnomaly {
                    vehicle_id,
                    anomaly_type: self.anomaly_type,
                    severity: self.severity,
                    sensor_snapshot: self.sensor_snapshot,
                    rul_prediction: self.rul_prediction,
                    component_name: self.component_name,
                    detected_at: self.detected_at,
                }
            }
        }
    };
}

report_body! {
    /// A new anomaly.
    ReportAnomalyRequest {
        /// The vehicle.
        #[schema(value_type = Uuid)]
        vehicle_id: VehicleId,
    }
}

report_body! {
    /// A new anomaly of the vehicle in the path.
    ReportVehicleAnomalyRequest {}
}

/// Report an anomaly
#[utoipa::path(
    operation_id = "report_anomaly",
    tag = "anomalies",
    request_body = ReportAnomalyRequest,
    responses(
        (status = 201, description = "The anomaly", body = AnomalyBody,
         headers(("Location" = String))),
        (status = 404, description = "`not_found`: the vehicle does not exist or is not visible to the caller"),
    ),
)]
#[post("")]
pub(crate) async fn report(
    caller: Authorized<RecordAnomalies>,
    state: Data<ApiState>,
    body: JsonBody<ReportAnomalyRequest>,
) -> Result<HttpResponse, Problem> {
    let vehicle_id = body.0.vehicle_id;
    let new = body.0.of_vehicle(vehicle_id);
    let anomaly = state.anomalies.report(&caller, new).await?;
    Ok(reported(anomaly))
}

/// Report an anomaly of a vehicle
#[utoipa::path(
    operation_id = "report_vehicle_anomaly",
    tag = "anomalies",
    params(("vehicle_id" = Uuid, Path, description = "The vehicle")),
    request_body = ReportVehicleAnomalyRequest,
    responses(
        (status = 201, description = "The anomaly", body = AnomalyBody,
         headers(("Location" = String))),
    ),
)]
#[post("/{vehicle_id}/anomalies")]
pub(crate) async fn report_of_vehicle(
    caller: Authorized<RecordAnomalies>,
    state: Data<ApiState>,
    vehicle_id: PathId<VehicleId>,
    body: JsonBody<ReportVehicleAnomalyRequest>,
) -> Result<HttpResponse, Problem> {
    let new = body.0.of_vehicle(vehicle_id.0);
    let anomaly = state.anomalies.report_of_vehicle(&caller, new).await?;
    Ok(reported(anomaly))
}

fn reported(anomaly: Anomaly) -> HttpResponse {
    let location = format!("/api/v1/anomalies/{}", anomaly.id);
    created(location, AnomalyBody::from(anomaly))
}
