//! The fleet.

use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::{
    fleet::vin::Vin,
    ids::{UserId, VehicleId},
    text_enum::text_enum,
};

/// A vehicle that diagnostics can reach, or could once.
#[derive(Debug, Clone, PartialEq)]
pub struct Vehicle {
    /// Identifies the vehicle.
    pub vehicle_id: VehicleId,
    /// Unique.
    pub vin: Vin,
    /// The manufacturer, such as `BMW`.
    pub make: String,
    /// The model, such as `X5`.
    pub model: String,
    /// The model year.
    pub year: i32,
    /// What drives it; nothing while it is not known.
    pub vehicle_type: Option<VehicleType>,
    /// The customer it belongs to; nobody while that is not known.
    pub owner_id: Option<UserId>,
    /// Whether commands reach it now.
    pub connection_status: ConnectionStatus,
    /// When it was last heard of.
    pub last_seen_at: Option<DateTime<Utc>>,
    /// Whatever the fleet's owner keeps with it; a JSON object.
    pub metadata: Value,
    /// When it was registered.
    pub created_at: DateTime<Utc>,
}

impl Vehicle {
    /// Whether a command sent now would reach it.
    pub fn is_connected(&self) -> bool {
        self.connection_status == ConnectionStatus::Connected
    }

    /// A word for a dashboard, derived from the connection.
    pub fn health(&self) -> VehicleHealth {
        match self.connection_status {
            ConnectionStatus::Connected => VehicleHealth::Ok,
            ConnectionStatus::Error => VehicleHealth::Fault,
            ConnectionStatus::Disconnected => VehicleHealth::Unknown,
        }
    }
}

text_enum! {
    /// What drives a vehicle.
    VehicleType, "vehicle type" {
        /// Electricity.
        Electric = "EV",
        /// A combustion engine.
        Combustion = "ICE",
    }
}

text_enum! {
    /// The state of a vehicle's link to the cloud.
    ConnectionStatus, "connection status" {
        /// The link is up.
        Connected = "connected",
        /// The link is down.
        Disconnected = "disconnected",
        /// The link is up and does not work.
        Error = "error",
    }
}

text_enum! {
    /// What is known of a vehicle without asking it.
    VehicleHealth, "health" {
        /// It is connected.
        Ok = "ok",
        /// Its connection reports an error.
        Fault = "fault",
        /// It is not connected, so nobody knows.
        Unknown = "unknown",
    }
}
