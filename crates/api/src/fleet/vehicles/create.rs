use actix_web::{HttpResponse, http::header::LOCATION, post, web::Data};
use serde::Deserialize;
use serde_json::{Map, Value};
use sovd_domain::{ConnectionStatus, UserId, VehicleType, Vin};
use sovd_services::fleet::vehicles::NewVehicle;
use utoipa::ToSchema;

use super::VehicleBody;
use crate::{
    extract::{Authorized, JsonBody},
    permissions::ManageVehicles,
    problem::{Problem, ProblemBody},
    state::ApiState,
};

/// A vehicle to be.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CreateVehicleRequest {
    /// Vehicle identification number: 1 to 17 of A-Z and 0-9, kept in upper case.
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
    /// `EV` or `ICE`; left out, it is not known.
    #[schema(value_type = Option<String>, pattern = "^(EV|ICE)$")]
    vehicle_type: Option<VehicleType>,
    /// The customer it belongs to; left out, nobody is known.
    #[schema(value_type = Option<Uuid>)]
    owner_id: Option<UserId>,
    /// `connected`, `disconnected` or `error`; left out, it is `disconnected`.
    #[schema(value_type = Option<String>, pattern = "^(connected|disconnected|error)$")]
    connection_status: Option<ConnectionStatus>,
    /// An object, whatever the owner of the fleet keeps with the vehicle; at most 64 KiB as JSON.
    #[schema(value_type = Option<Object>)]
    metadata: Option<Map<String, Value>>,
}

/// Make a vehicle
#[utoipa::path(
    operation_id = "create_vehicle",
    tag = "vehicles",
    security(("bearer" = [])),
    request_body = CreateVehicleRequest,
    responses(
        (status = 201, description = "Commands can be sent to it", body = VehicleBody,
         headers(("Location" = String))),
        (status = 409, description = "`conflict`: the VIN is taken",
         body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
#[post("")]
pub(crate) async fn create(
    authorized: Authorized<ManageVehicles>,
    state: Data<ApiState>,
    body: JsonBody<CreateVehicleRequest>,
) -> Result<HttpResponse, Problem> {
    let CreateVehicleRequest {
        vin,
        make,
        model,
        year,
        vehicle_type,
        owner_id,
        connection_status,
        metadata,
    } = body.0;
    let new = NewVehicle {
        vin,
        make,
        model,
        year,
        vehicle_type,
        owner_id,
        connection_status: connection_status.unwrap_or(ConnectionStatus::Disconnected),
        metadata: metadata.unwrap_or_default(),
    };
    let vehicle = state.vehicles.create(&authorized.caller, new).await?;
    let location = format!("/api/v1/vehicles/{}", vehicle.vehicle_id);
    Ok(HttpResponse::Created()
        .insert_header((LOCATION, location))
        .json(VehicleBody::from(vehicle)))
}
