use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::{
    commands::{Command, CommandStatus, FailureKind},
    fleet::vehicles::{ConnectionStatus, Vehicle},
    ids::{CommandId, UserId, VehicleId},
};

/// The latest state of a command or vehicle. Its JSON is the contract of the fleet WebSocket and the
/// event bus.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum FleetEvent {
    /// A command changed its status.
    Command {
        /// The command.
        command_id: CommandId,
        /// The vehicle it is addressed to.
        vehicle_id: VehicleId,
        /// The user who submitted it.
        user_id: UserId,
        /// Its name in the catalog.
        command_name: String,
        /// Its status.
        status: CommandStatus,
        /// Set if and only if the command failed.
        failure_kind: Option<FailureKind>,
    },
    /// The connection of a vehicle changed.
    Vehicle {
        /// The vehicle.
        vehicle_id: VehicleId,
        /// The customer who owns it.
        owner_id: Option<UserId>,
        /// The state of the connection.
        connection_status: ConnectionStatus,
        /// When the vehicle was last seen.
        last_seen_at: Option<DateTime<Utc>>,
    },
    /// Events were lost: the receiver must fetch its lists again.
    Resync,
}

impl From<&Command> for FleetEvent {
    fn from(command: &Command) -> Self {
        Self::Command {
            command_id: command.command_id,
            vehicle_id: command.vehicle_id,
            user_id: command.user_id,
            command_name: command.command_name.clone(),
            status: command.status,
            failure_kind: command.failure_kind,
        }
    }
}

impl From<&Vehicle> for FleetEvent {
    fn from(vehicle: &Vehicle) -> Self {
        Self::Vehicle {
            vehicle_id: vehicle.vehicle_id,
            owner_id: vehicle.owner_id,
            connection_status: vehicle.connection_status,
            last_seen_at: vehicle.last_seen_at,
        }
    }
}

impl FleetEvent {
    /// Returns the vehicle that the event concerns, or `None` for [`Self::Resync`].
    pub fn vehicle_id(&self) -> Option<VehicleId> {
        match self {
            Self::Command { vehicle_id, .. } | Self::Vehicle { vehicle_id, .. } => {
                Some(*vehicle_id)
            }
            Self::Resync => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{json, to_value};
    use uuid::Uuid;

    use super::*;

    #[test]
    fn serializes_to_the_published_json() {
        let id = Uuid::from_u128(1);
        let command = FleetEvent::Command {
            command_id: CommandId(id),
            vehicle_id: VehicleId(id),
            user_id: UserId(id),
            command_name: "ReadDTC".to_owned(),
            status: CommandStatus::Pending,
            failure_kind: None,
        };
        let vehicle = FleetEvent::Vehicle {
            vehicle_id: VehicleId(id),
            owner_id: None,
            connection_status: ConnectionStatus::Connected,
            last_seen_at: None,
        };
        for (event, expected) in [
            (
                command,
                json!({ "event": "command", "command_id": id, "vehicle_id": id, "user_id": id,
                        "command_name": "ReadDTC", "status": "pending", "failure_kind": null }),
            ),
            (
                vehicle,
                json!({ "event": "vehicle", "vehicle_id": id, "owner_id": null,
                        "connection_status": "connected", "last_seen_at": null }),
            ),
            (FleetEvent::Resync, json!({ "event": "resync" })),
        ] {
            assert_eq!(to_value(event).unwrap(), expected);
        }
    }
}
