use actix_web::{get, web};
use sovd_domain::VehicleId;

use super::VehicleBody;
use crate::{
    extract::{Authorized, PathId},
    permissions::ReadVehicles,
    problem::Problem,
    state::ApiState,
};

/// Get a vehicle
#[utoipa::path(
    operation_id = "get_vehicle",
    tag = "vehicles",
    params(("vehicle_id" = Uuid, Path, description = "The vehicle")),
    responses((status = 200, description = "The vehicle", body = VehicleBody)),
)]
#[get("/{vehicle_id}")]
pub(crate) async fn get_vehicle(
    caller: Authorized<ReadVehicles>,
    state: web::Data<ApiState>,
    vehicle_id: PathId<VehicleId>,
) -> Result<web::Json<VehicleBody>, Problem> {
    let vehicle = state.vehicles.get(&caller, vehicle_id.0).await?;
    Ok(web::Json(vehicle.into()))
}
