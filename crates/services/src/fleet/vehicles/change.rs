use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};
use sovd_domain::{
    AuditEntry, ConnectionStatus, FieldError, Patch, Permission, UserId, Vehicle, VehicleId,
    VehicleType,
};
use sovd_storage::{Transaction, audit, fleet::vehicles, maintenance::bookings};

use super::{UNKNOWN, Vehicles, check_size, lock_customer};
use crate::{differences::Differences, error::Result, identity::caller::Caller};

/// The changes to a vehicle; `None` and [`Patch::Keep`] keep the value.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct VehicleChange {
    /// The manufacturer.
    pub make: Option<String>,
    /// The model.
    pub model: Option<String>,
    /// The model year.
    pub year: Option<i32>,
    /// The drivetrain.
    pub vehicle_type: Patch<VehicleType>,
    /// The owner, who must be a customer.
    pub owner_id: Patch<UserId>,
    /// The connection status.
    pub connection_status: Option<ConnectionStatus>,
    /// The metadata; at most 64 KiB as JSON.
    pub metadata: Option<Map<String, Value>>,
}

impl VehicleChange {
    fn check(&self) -> Result<()> {
        if *self == Self::default() {
            let detail = "must have at least one of make, model, year, vehicle_type, owner_id, \
                          connection_status and metadata";
            return Err(FieldError::new("", detail).into());
        }
        self.metadata.as_ref().map_or(Ok(()), check_size)
    }

    fn applied_to(self, old: &Vehicle, now: DateTime<Utc>) -> Vehicle {
        let mut new = Vehicle {
            make: self.make.unwrap_or_else(|| old.make.clone()),
            model: self.model.unwrap_or_else(|| old.model.clone()),
            year: self.year.unwrap_or(old.year),
            vehicle_type: self.vehicle_type.applied_to(old.vehicle_type),
            owner_id: self.owner_id.applied_to(old.owner_id),
            connection_status: self.connection_status.unwrap_or(old.connection_status),
            metadata: self
                .metadata
                .map_or_else(|| old.metadata.clone(), Value::Object),
            ..old.clone()
        };
        if new.is_connected() && !old.is_connected() {
            new.last_seen_at = Some(now);
        }
        new
    }
}

impl Vehicles {
    /// Changes a vehicle. When it becomes connected, its queued commands are sent. When a customer ceases to
    /// own it, their notes are removed from its bookings, because a new owner can read those.
    pub async fn change(
        &self,
        caller: &Caller,
        vehicle_id: VehicleId,
        change: VehicleChange,
    ) -> Result<Vehicle> {
        caller.require(Permission::ManageVehicles)?;
        change.check()?;
        let update = async |transaction: &mut Transaction, now| {
            // Before the vehicle, in the order of a deletion of the owner.
            if let Patch::Set(owner_id) = change.owner_id {
                lock_customer(transaction, owner_id).await?;
            }
            let old = vehicles::lock(transaction, vehicle_id)
                .await?
                .ok_or(UNKNOWN)?;
            let vehicle = change.applied_to(&old, now);
            vehicles::update(transaction, &vehicle).await?;
            let mut details = differences(&old, &vehicle);
            if old.owner_id.is_some() && vehicle.owner_id != old.owner_id {
                let removed = bookings::remove_notes(transaction, vehicle_id).await?;
                details.insert("customer_notes_removed".to_owned(), json!(removed));
            }
            let entry = AuditEntry {
                vehicle_id: Some(vehicle_id),
                details: Value::Object(details),
                ..caller.audit_of("vehicle.update", "vehicle", vehicle_id.0)
            };
            audit::insert(transaction, &entry, now).await?;
            Ok(vehicle)
        };
        self.access.change(caller, update).await
    }
}

/// Describes the changes for the audit trail.
fn differences(old: &Vehicle, new: &Vehicle) -> Map<String, Value> {
    Differences::default()
        .compare("make", &old.make, &new.make)
        .compare("model", &old.model, &new.model)
        .compare("year", &old.year, &new.year)
        .compare("vehicle_type", &old.vehicle_type, &new.vehicle_type)
        .compare("owner_id", &old.owner_id, &new.owner_id)
        .compare(
            "connection_status",
            &old.connection_status,
            &new.connection_status,
        )
        .compare("metadata", &old.metadata, &new.metadata)
        .into_fields()
}
