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

/// How a vehicle is.
#[derive(Serialize, ToSchema)]
#[schema(as = VehicleStatus)]
pub(crate) struct VehicleStatusBody {
    /// `connected`, `disconnected` or `error`.
    #[schema(example = "connected")]
    connection_status: &'static str,
    /// When it was last heard of.
    last_seen_at: Option<DateTime<Utc>>,
    /// `ok` when connected, `fault` when the connection reports an error, else `unknown`.
    #[schema(example = "ok")]
    health: &'static str,
}

/// See how a vehicle is
///
/// Cheap enough to poll.
#[utoipa::path(
    operation_id = "get_vehicle_status",
    tag = "vehicles",
    security(("bearer" = [])),
    params(("vehicle_id" = Uuid, Path, description = "The vehicle")),
    responses(
        (status = 200, description = "Its state now", body = VehicleStatusBody),
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
