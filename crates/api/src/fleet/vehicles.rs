//! `/api/v1/vehicles`

pub(crate) mod change;
pub(crate) mod create;
pub(crate) mod list;

use actix_web::{HttpResponse, delete, get, web};
use chrono::{DateTime, Utc};
use serde_json::Value;
use sovd_domain::{Vehicle, VehicleId, VehicleType};
use uuid::Uuid;

use crate::{
    extract::{Authorized, PathId},
    permissions::{ManageVehicles, ReadVehicles},
    problem::Problem,
    state::ApiState,
};

response_body! {
    /// A vehicle.
    #[schema(as = Vehicle)]
    VehicleBody from vehicle: Vehicle {
        /// Identifies the vehicle.
        vehicle_id: Uuid = vehicle.vehicle_id.0,
        /// The vehicle identification number: 1 to 17 characters from A-Z and 0-9.
        #[schema(example = "TESTVIN0000000001")]
        vin: String = vehicle.vin.to_string(),
        /// The manufacturer.
        #[schema(example = "Tesla")]
        make: String,
        /// The model.
        #[schema(example = "Model 3")]
        model: String,
        /// The model year.
        #[schema(example = 2023)]
        year: i32,
        /// `EV` or `ICE`; null if unknown.
        vehicle_type: Option<&'static str> = vehicle.vehicle_type.map(VehicleType::as_str),
        /// The customer who owns it; null if unknown.
        owner_id: Option<Uuid> = vehicle.owner_id.map(|id| id.0),
        /// `connected`, `disconnected` or `error`.
        #[schema(example = "connected")]
        connection_status: &'static str = vehicle.connection_status.as_str(),
        /// When the vehicle was last seen.
        last_seen_at: Option<DateTime<Utc>>,
        /// Free-form data of the fleet operator.
        #[schema(value_type = Object)]
        metadata: Value,
        /// When it was registered.
        created_at: DateTime<Utc>,
    }
}

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
pub(crate) async fn delete_vehicle(
    caller: Authorized<ManageVehicles>,
    state: web::Data<ApiState>,
    vehicle_id: PathId<VehicleId>,
) -> Result<HttpResponse, Problem> {
    state.vehicles.delete(&caller, vehicle_id.0).await?;
    Ok(HttpResponse::NoContent().finish())
}

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
