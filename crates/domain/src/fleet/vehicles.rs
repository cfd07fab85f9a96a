use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::{
    fleet::vin::Vin,
    ids::{UserId, VehicleId},
    text_enum::text_enum,
};

/// A vehicle registered for remote diagnostics.
#[derive(Debug, Clone, PartialEq)]
pub struct Vehicle {
    /// Identifies the vehicle.
    pub vehicle_id: VehicleId,
    /// Unique in the fleet.
    pub vin: Vin,
    /// The manufacturer, such as `BMW`.
    pub make: String,
    /// The model, such as `X5`.
    pub model: String,
    /// The model year.
    pub year: i32,
    /// The drivetrain, if known.
    pub vehicle_type: Option<VehicleType>,
    /// The customer who owns it, if known.
    pub owner_id: Option<UserId>,
    /// The current state of the connection.
    pub connection_status: ConnectionStatus,
    /// When the vehicle was last seen.
    pub last_seen_at: Option<DateTime<Utc>>,
    /// Free-form data of the fleet operator; a JSON object.
    pub metadata: Value,
    /// When it was registered.
    pub created_at: DateTime<Utc>,
}

impl Vehicle {
    /// Returns whether the vehicle can receive commands now.
    pub fn is_connected(&self) -> bool {
        self.connection_status == ConnectionStatus::Connected
    }

    /// Derives a summary for dashboards from the connection status.
    pub fn health(&self) -> VehicleHealth {
        match self.connection_status {
            ConnectionStatus::Connected => VehicleHealth::Ok,
            ConnectionStatus::Error => VehicleHealth::Fault,
            ConnectionStatus::Disconnected => VehicleHealth::Unknown,
        }
    }
}

text_enum! {
    /// The drivetrain of a vehicle.
    VehicleType, "vehicle type" {
        /// Battery electric.
        Electric = "EV",
        /// A combustion engine.
        Combustion = "ICE",
    }
}

text_enum! {
    /// The state of a vehicle's connection to the cloud.
    ConnectionStatus, "connection status" {
        /// The connection is established.
        Connected = "connected",
        /// There is no connection.
        Disconnected = "disconnected",
        /// The connection is established but faulty.
        Error = "error",
    }
}

text_enum! {
    /// The health of a vehicle as far as its connection shows it.
    VehicleHealth, "health" {
        /// The vehicle is connected.
        Ok = "ok",
        /// The connection reports an error.
        Fault = "fault",
        /// The vehicle is not connected.
        Unknown = "unknown",
    }
}
