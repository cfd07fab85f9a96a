use actix_web::{get, web};
use chrono::{DateTime, Utc};
use sovd_domain::{Vehicle, VehicleId};

use crate::{
    extract::{Authorized, PathId},
    permissions::ReadVehicles,
    problem::Problem,
    state::ApiState,
};

response_body! {
    /// The connection status and health of a vehicle.
    #[schema(as = VehicleStatus)]
    VehicleStatusBody from vehicle: Vehicle {
        /// `connected`, `disconnected` or `error`.
        #[schema(example = "connected")]
        connection_status: &'static str = vehicle.connection_status.as_str(),
        /// When the vehicle was last seen.
        last_seen_at: Option<DateTime<Utc>>,
        /// `ok` if connected, `fault` if the connection reports an error, otherwise `unknown`.
        #[schema(example = "ok")]
        health: &'static str = vehicle.health().as_str(),
    }
}

/// Get the status of a vehicle
///
/// A small response, suitable for polling.
#[utoipa::path(
    operation_id = "get_vehicle_status",
    tag = "vehicles",
    params(("vehicle_id" = Uuid, Path, description = "The vehicle")),
    responses((status = 200, description = "The current status", body = VehicleStatusBody)),
)]
#[get("/{vehicle_id}/status")]
pub(crate) async fn status(
    caller: Authorized<ReadVehicles>,
    state: web::Data<ApiState>,
    vehicle_id: PathId<VehicleId>,
) -> Result<web::Json<VehicleStatusBody>, Problem> {
    let vehicle = state.vehicles.get(&caller, vehicle_id.0).await?;
    Ok(web::Json(vehicle.into()))
}
