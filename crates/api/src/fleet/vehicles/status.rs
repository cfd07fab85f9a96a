use actix_web::{
    get,
    web::{Data, Json},
};
use chrono::{DateTime, Utc};
use serde::Serialize;
use sovd_domain::{Vehicle, VehicleId};
use utoipa::ToSchema;

use crate::{
    extract::{Authorized, PathId},
    permissions::ReadVehicles,
    problem::Problem,
    state::ApiState,
};

/// The connection status and health of a vehicle.
#[derive(Serialize, ToSchema)]
#[schema(as = VehicleStatus)]
pub(crate) struct VehicleStatusBody {
    /// `connected`, `disconnected` or `error`.
    #[schema(example = "connected")]
    connection_status: &'static str,
    /// When the vehicle was last seen.
    last_seen_at: Option<DateTime<Utc>>,
    /// `ok` if connected, `fault` if the connection reports an error, otherwise `unknown`.
    #[schema(example = "ok")]
    health: &'static str,
}

/// Get the status of a vehicle
///
/// A small response, suitable for polling.
#[utoipa::path(
    operation_id = "get_vehicle_status",
    tag = "vehicles",
    security(("bearer" = [])),
    params(("vehicle_id" = Uuid, Path, description = "The vehicle")),
    responses(
        (status = 200, description = "The current status", body = VehicleStatusBody),
    ),
)]
#[get("/{vehicle_id}/status")]
pub(crate) async fn status(
    authorized: Authorized<ReadVehicles>,
    state: Data<ApiState>,
    vehicle_id: PathId<VehicleId>,
) -> Result<Json<VehicleStatusBody>, Problem> {
    let vehicle = state.vehicles.get(&authorized.caller, vehicle_id.0).await?;
    Ok(Json(vehicle.into()))
}

impl From<Vehicle> for VehicleStatusBody {
    fn from(vehicle: Vehicle) -> Self {
        Self {
            connection_status: vehicle.connection_status.as_str(),
            last_seen_at: vehicle.last_seen_at,
            health: vehicle.health().as_str(),
        }
    }
}
