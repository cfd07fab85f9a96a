//! `/api/v1/vehicles`

pub(crate) mod change;
pub(crate) mod create;
pub(crate) mod delete;
pub(crate) mod get;
pub(crate) mod list;
pub(crate) mod status;

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use sovd_domain::{Vehicle, VehicleType};
use utoipa::ToSchema;
use uuid::Uuid;

/// A vehicle.
#[derive(Serialize, ToSchema)]
#[schema(as = Vehicle)]
pub(crate) struct VehicleBody {
    /// Identifies the vehicle.
    vehicle_id: Uuid,
    /// The vehicle identification number: 1 to 17 characters from A-Z and 0-9.
    #[schema(example = "TESTVIN0000000001")]
    vin: String,
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
    vehicle_type: Option<&'static str>,
    /// The customer who owns it; null if unknown.
    owner_id: Option<Uuid>,
    /// `connected`, `disconnected` or `error`.
    #[schema(example = "connected")]
    connection_status: &'static str,
    /// When the vehicle was last seen.
    last_seen_at: Option<DateTime<Utc>>,
    /// Free-form data of the fleet operator.
    #[schema(value_type = Object)]
    metadata: Value,
    /// When it was registered.
    created_at: DateTime<Utc>,
}

impl From<Vehicle> for VehicleBody {
    fn from(vehicle: Vehicle) -> Self {
        Self {
            vehicle_id: vehicle.vehicle_id.0,
            vin: vehicle.vin.to_string(),
            make: vehicle.make,
            model: vehicle.model,
            year: vehicle.year,
            vehicle_type: vehicle.vehicle_type.map(VehicleType::as_str),
            owner_id: vehicle.owner_id.map(|id| id.0),
            connection_status: vehicle.connection_status.as_str(),
            last_seen_at: vehicle.last_seen_at,
            metadata: vehicle.metadata,
            created_at: vehicle.created_at,
        }
    }
}
