use actix_web::{HttpResponse, delete, web::Data};
use sovd_domain::VehicleId;

use crate::{
    extract::{Authorized, PathId},
    permissions::ManageVehicles,
    problem::Problem,
    state::ApiState,
};

/// Delete a vehicle
///
/// Deletes the vehicle with its commands and their responses, but keeps the audit trail.
#[utoipa::path(
    operation_id = "delete_vehicle",
    tag = "vehicles",
    params(("vehicle_id" = Uuid, Path, description = "The vehicle")),
    responses(
        (status = 204, description = "The vehicle is deleted"),
        (status = 409, description = "`conflict`: commands to the vehicle have not ended"),
    ),
)]
#[delete("/{vehicle_id}")]
pub(crate) async fn delete(
    caller: Authorized<ManageVehicles>,
    state: Data<ApiState>,
    vehicle_id: PathId<VehicleId>,
) -> Result<HttpResponse, Problem> {
    state.vehicles.delete(&caller, vehicle_id.0).await?;
    Ok(HttpResponse::NoContent().finish())
}
