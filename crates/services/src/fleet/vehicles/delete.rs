use serde_json::json;
use sovd_domain::{AuditEntry, Permission, Vehicle, VehicleId};
use sovd_storage::{Transaction, audit, fleet::vehicles};

use super::{UNKNOWN, Vehicles};
use crate::{
    error::{Result, ServiceError},
    identity::caller::Caller,
};

impl Vehicles {
    /// Deletes a vehicle with its commands, which must have ended, and their responses. The audit trail stays.
    pub async fn delete(&self, caller: &Caller, vehicle_id: VehicleId) -> Result<()> {
        caller.require(Permission::ManageVehicles)?;
        let delete = async |transaction: &mut Transaction, now| {
            let vehicle = vehicles::lock_for_deletion(transaction, vehicle_id)
                .await?
                .ok_or(UNKNOWN)?;
            if vehicles::has_queue(transaction, vehicle_id).await? {
                return Err(ServiceError::conflict(
                    "commands to this vehicle have not ended: cancel them, or wait for them",
                    None,
                ));
            }
            let entry = deletion(caller, &vehicle);
            // Before the deletion, so that the entry refers to the vehicle like the earlier ones.
            audit::insert(transaction, &entry, now).await?;
            Ok(vehicles::delete(transaction, vehicle_id).await?)
        };
        self.access.change(caller, delete).await
    }
}

/// Creates the audit entry of the deletion of a vehicle.
pub(crate) fn deletion(caller: &Caller, vehicle: &Vehicle) -> AuditEntry {
    AuditEntry {
        vehicle_id: Some(vehicle.vehicle_id),
        details: json!({
            "vin": vehicle.vin.as_str(),
            "make": vehicle.make,
            "model": vehicle.model,
            "year": vehicle.year,
            "vehicle_type": vehicle.vehicle_type,
            "owner_id": vehicle.owner_id,
        }),
        ..caller.audit_of("vehicle.delete", "vehicle", vehicle.vehicle_id.0)
    }
}
