use actix_web::{patch, web};
use serde_json::{Map, Value};
use sovd_domain::{ConnectionStatus, Patch, UserId, VehicleId, VehicleType};
use sovd_services::fleet::vehicles::VehicleChange;

use super::VehicleBody;
use crate::{
    extract::{Authorized, JsonBody, PathId},
    permissions::ManageVehicles,
    problem::Problem,
    state::ApiState,
};

request_body! {
    /// The fields to change (JSON merge patch, RFC 7396); absent fields keep their value.
    #[schema(min_properties = 1)]
    ChangeVehicleRequest as body into VehicleChange {
        /// The manufacturer: 1 to 100 characters.
        #[schema(nullable = false, min_length = 1, max_length = 100)]
        make: Option<String>,
        /// The model: 1 to 100 characters.
        #[schema(nullable = false, min_length = 1, max_length = 100)]
        model: Option<String>,
        /// The model year: 1886 to 2100.
        #[schema(nullable = false, minimum = 1886, maximum = 2100)]
        year: Option<i32>,
        /// `EV` or `ICE`; null if unknown.
        #[serde(default)]
        #[schema(value_type = Option<String>, pattern = "^(EV|ICE)$")]
        vehicle_type: Patch<VehicleType>,
        /// The customer who owns it; null if unknown. A new owner sees the vehicle's anomalies and bookings.
        /// When a customer ceases to own it, the `customer_notes` of its bookings are removed.
        #[serde(default)]
        #[schema(value_type = Option<Uuid>)]
        owner_id: Patch<UserId>,
        /// `connected`, `disconnected` or `error`.
        #[schema(nullable = false, value_type = Option<String>, pattern = "^(connected|disconnected|error)$")]
        connection_status: Option<ConnectionStatus>,
        /// An object of at most 64 KiB as JSON, which replaces the previous one.
        #[schema(nullable = false, value_type = Option<Object>)]
        metadata: Option<Map<String, Value>>,
    }
}

/// Change a vehicle
///
/// The VIN cannot be changed. When the vehicle becomes `connected`, its queued commands are sent.
#[utoipa::path(
    operation_id = "change_vehicle",
    tag = "vehicles",
    params(("vehicle_id" = Uuid, Path, description = "The vehicle")),
    request_body = ChangeVehicleRequest,
    responses((status = 200, description = "The changed vehicle", body = VehicleBody)),
)]
#[patch("/{vehicle_id}")]
pub(crate) async fn change(
    caller: Authorized<ManageVehicles>,
    state: web::Data<ApiState>,
    vehicle_id: PathId<VehicleId>,
    body: JsonBody<ChangeVehicleRequest>,
) -> Result<web::Json<VehicleBody>, Problem> {
    let vehicle = state
        .vehicles
        .change(&caller, vehicle_id.0, body.0.into())
        .await?;
    Ok(web::Json(vehicle.into()))
}
