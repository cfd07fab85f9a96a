use serde_json::{Map, Value, json};
use sovd_domain::{
    AuditEntry, ConnectionStatus, Permission, UserId, Vehicle, VehicleId, VehicleType, Vin,
};
use sovd_storage::{Conflict, StorageError, Transaction, audit, fleet::vehicles};

use super::{Vehicles, check_size, lock_customer};
use crate::{
    error::{Result, ServiceError},
    identity::caller::Caller,
};

/// A vehicle to create.
#[derive(Debug, Clone)]
pub struct NewVehicle {
    /// The VIN, which no other vehicle may have.
    pub vin: Vin,
    /// The manufacturer.
    pub make: String,
    /// The model.
    pub model: String,
    /// The model year.
    pub year: i32,
    /// The drivetrain, if known.
    pub vehicle_type: Option<VehicleType>,
    /// The customer who owns it, if known.
    pub owner_id: Option<UserId>,
    /// The connection status.
    pub connection_status: ConnectionStatus,
    /// Free-form data of the fleet operator; at most 64 KiB as JSON.
    pub metadata: Map<String, Value>,
}

impl Vehicles {
    /// Creates a vehicle.
    pub async fn create(&self, caller: &Caller, new: NewVehicle) -> Result<Vehicle> {
        caller.require(Permission::ManageVehicles)?;
        check_size(&new.metadata)?;
        let vehicle = self.vehicle(new);
        let insert = async |transaction: &mut Transaction, _| {
            if let Some(owner_id) = vehicle.owner_id {
                lock_customer(transaction, owner_id).await?;
            }
            vehicles::insert(transaction, &vehicle)
                .await
                .map_err(taken)?;
            let entry = AuditEntry {
                vehicle_id: Some(vehicle.vehicle_id),
                details: json!({
                    "vin": vehicle.vin.as_str(),
                    "make": vehicle.make,
                    "model": vehicle.model,
                    "year": vehicle.year,
                    "vehicle_type": vehicle.vehicle_type,
                    "owner_id": vehicle.owner_id,
                    "connection_status": vehicle.connection_status,
                    "metadata": vehicle.metadata,
                }),
                ..caller.audit_of("vehicle.create", "vehicle", vehicle.vehicle_id.0)
            };
            Ok(audit::insert(transaction, &entry, vehicle.created_at).await?)
        };
        self.access.change(caller, insert).await?;
        Ok(vehicle)
    }

    fn vehicle(&self, new: NewVehicle) -> Vehicle {
        let now = self.access.now();
        let is_connected = new.connection_status == ConnectionStatus::Connected;
        Vehicle {
            vehicle_id: VehicleId(self.random.uuid()),
            vin: new.vin,
            make: new.make,
            model: new.model,
            year: new.year,
            vehicle_type: new.vehicle_type,
            owner_id: new.owner_id,
            connection_status: new.connection_status,
            last_seen_at: is_connected.then_some(now),
            metadata: Value::Object(new.metadata),
            created_at: now,
        }
    }
}

/// Maps a duplicate VIN to a conflict.
fn taken(error: StorageError) -> ServiceError {
    match error.conflict() {
        Some(Conflict::VinTaken) => {
            ServiceError::conflict("another vehicle has this VIN", Some("/vin"))
        }
        _ => error.into(),
    }
}
