use serde_json::{Map, Value, json};
use sovd_domain::{
    AuditEntry, ConnectionStatus, Permission, UserId, Vehicle, VehicleId, VehicleType, Vin,
};
use sovd_storage::{Conflict, StorageError, Transaction, audit, fleet::vehicles};

use super::{Vehicles, about, check_size, keep_customer};
use crate::{error::ServiceError, identity::caller::Caller};

/// A vehicle to be.
#[derive(Debug, Clone)]
pub struct NewVehicle {
    /// Its VIN, which no other vehicle has.
    pub vin: Vin,
    /// The manufacturer.
    pub make: String,
    /// The model.
    pub model: String,
    /// The model year.
    pub year: i32,
    /// What drives it.
    pub vehicle_type: Option<VehicleType>,
    /// The customer it belongs to.
    pub owner_id: Option<UserId>,
    /// The state of its link.
    pub connection_status: ConnectionStatus,
    /// Whatever the owner of the fleet keeps with it; at most 64 KiB as JSON.
    pub metadata: Map<String, Value>,
}

impl Vehicles {
    /// Makes a vehicle. One that is connected was seen now.
    ///
    /// # Errors
    ///
    /// [`ServiceError::Forbidden`] to all but admins; [`ServiceError::Invalid`] when the metadata is
    /// too large or the owner is no customer; [`ServiceError::Conflict`] when the VIN is taken.
    pub async fn create(&self, caller: &Caller, new: NewVehicle) -> Result<Vehicle, ServiceError> {
        caller.require(Permission::ManageVehicles)?;
        check_size(&new.metadata)?;
        let vehicle = self.made(new);
        let insert =
            async |transaction: &mut Transaction, _| insert(transaction, caller, &vehicle).await;
        self.access.change(caller, insert).await?;
        Ok(vehicle)
    }

    fn made(&self, new: NewVehicle) -> Vehicle {
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

async fn insert(
    transaction: &mut Transaction,
    caller: &Caller,
    vehicle: &Vehicle,
) -> Result<(), ServiceError> {
    if let Some(owner_id) = vehicle.owner_id {
        keep_customer(transaction, owner_id).await?;
    }
    vehicles::insert(transaction, vehicle)
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
        ..about(caller, "vehicle.create", vehicle.vehicle_id)
    };
    Ok(audit::insert(transaction, &entry, vehicle.created_at).await?)
}

/// A VIN that another vehicle has.
fn taken(error: StorageError) -> ServiceError {
    match error.conflict() {
        Some(Conflict::VinTaken) => ServiceError::Conflict {
            reason: "another vehicle has it",
            pointer: Some("/vin"),
        },
        _ => error.into(),
    }
}
