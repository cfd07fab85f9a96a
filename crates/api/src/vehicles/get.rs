use actix_web::{
    get,
    web::{Data, Json},
};
use sovd_domain::VehicleId;

use super::VehicleBody;
use crate::{
    extract::{Authorized, PathId},
    permissions::ReadVehicles,
    problem::{Problem, ProblemBody},
    state::ApiState,
};

/// See a vehicle
#[utoipa::path(
    operation_id = "get_vehicle",
    tag = "vehicles",
    security(("bearer" = [])),
    params(("vehicle_id" = Uuid, Path, description = "The vehicle")),
    responses(
        (status = 200, description = "The vehicle", body = VehicleBody),
        (status = 400, description = "`malformed_request`: the id is not a UUID",
         body = ProblemBody, content_type = "application/problem+json"),
        (status = 401, description = "No valid token", body = ProblemBody,
         content_type = "application/problem+json"),
        (status = 404, description = "`not_found`", body = ProblemBody,
         content_type = "application/problem+json"),
    ),
)]
#[get("/{vehicle_id}")]
pub(crate) async fn get_vehicle(
    authorized: Authorized<ReadVehicles>,
    state: Data<ApiState>,
    vehicle_id: PathId<VehicleId>,
) -> Result<Json<VehicleBody>, Problem> {
    let vehicle = state.vehicles.get(&authorized.caller, vehicle_id.0).await?;
    Ok(Json(vehicle.into()))
}
