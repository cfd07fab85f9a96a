use actix_web::{HttpResponse, post, web::Data};
use serde_json::{Map, Value};
use sovd_domain::{ConnectionStatus, UserId, VehicleType, Vin};
use sovd_services::fleet::vehicles::NewVehicle;

use super::VehicleBody;
use crate::{
    extract::{Authorized, JsonBody, created},
    permissions::ManageVehicles,
    problem::Problem,
    state::ApiState,
};

request_body! {
    /// A vehicle to create.
    CreateVehicleRequest as body into NewVehicle {
        /// 1 to 17 characters from A-Z and 0-9: the vehicle identification number, stored in upper case.
        #[schema(value_type = String, pattern = "^[A-Za-z0-9]{1,17}$", example = "TESTVIN0000000003")]
        vin: Vin,
        /// The manufacturer: 1 to 100 characters.
        #[schema(min_length = 1, max_length = 100, example = "Tesla")]
        make: String,
        /// The model: 1 to 100 characters.
        #[schema(min_length = 1, max_length = 100, example = "Model 3")]
        model: String,
        /// The model year: 1886 to 2100.
        #[schema(minimum = 1886, maximum = 2100, example = 2023)]
        year: i32,
        /// `EV` or `ICE`; omit if unknown.
        #[schema(value_type = Option<String>, pattern = "^(EV|ICE)$")]
        vehicle_type: Option<VehicleType>,
        /// The customer who owns it; omit if unknown.
        #[schema(value_type = Option<Uuid>)]
        owner_id: Option<UserId>,
        /// `connected`, `disconnected` (the default) or `error`.
        #[schema(value_type = Option<String>, pattern = "^(connected|disconnected|error)$")]
        connection_status: Option<ConnectionStatus> =
            body.connection_status.unwrap_or(ConnectionStatus::Disconnected),
        /// Free-form data of the fleet operator: an object of at most 64 KiB as JSON.
        #[schema(value_type = Option<Object>)]
        metadata: Option<Map<String, Value>> = body.metadata.unwrap_or_default(),
    }
}

/// Create a vehicle
#[utoipa::path(
    operation_id = "create_vehicle",
    tag = "vehicles",
    request_body = CreateVehicleRequest,
    responses(
        (status = 201, description = "The created vehicle", body = VehicleBody,
         headers(("Location" = String))),
        (status = 409, description = "`conflict`: the VIN is taken"),
    ),
)]
#[post("")]
pub(crate) async fn create(
    caller: Authorized<ManageVehicles>,
    state: Data<ApiState>,
    body: JsonBody<CreateVehicleRequest>,
) -> Result<HttpResponse, Problem> {
    let vehicle = state.vehicles.create(&caller, body.0.into()).await?;
    let location = format!("/api/v1/vehicles/{}", vehicle.vehicle_id);
    Ok(created(location, VehicleBody::from(vehicle)))
}
