//! The fleet.

mod change;
mod create;
mod delete;

use std::sync::Arc;

use serde_json::{Map, Value};
use sovd_domain::{
    AuditEntry, FieldError, Page, Permission, Random, Role, UserId, Vehicle, VehicleId,
};
use sovd_storage::{Transaction, fleet::vehicles, identity::users};

use crate::{
    error::ServiceError,
    identity::{access::Access, caller::Caller},
    json_limits,
};

pub use change::VehicleChange;
pub use create::NewVehicle;
pub(crate) use delete::deletion;
pub use sovd_storage::fleet::vehicles::VehicleFilter;

/// Looks at vehicles, and lets admins manage them.
pub struct Vehicles {
    access: Access,
    random: Arc<dyn Random>,
}

impl Vehicles {
    /// A vehicle service.
    pub fn new(access: Access, random: Arc<dyn Random>) -> Self {
        Self { access, random }
    }

    /// One page of the vehicles that match, by VIN, and how many match in all.
    ///
    /// # Errors
    ///
    /// When the caller may not see vehicles.
    pub async fn list(
        &self,
        caller: &Caller,
        filter: &VehicleFilter,
        page: Page,
    ) -> Result<(Vec<Vehicle>, i64), ServiceError> {
        caller.require(Permission::ReadVehicles)?;
        let mut connection = self.access.bulk_connection(caller).await?;
        Ok(vehicles::list(&mut connection, filter, &caller.vehicles(), page).await?)
    }

    /// The vehicle with the id.
    ///
    /// # Errors
    ///
    /// [`ServiceError::NotFound`] when there is none that the caller may see.
    pub async fn get(
        &self,
        caller: &Caller,
        vehicle_id: VehicleId,
    ) -> Result<Vehicle, ServiceError> {
        caller.require(Permission::ReadVehicles)?;
        let reading = self
            .access
            .can_access_vehicle(caller, vehicle_id, "vehicle.read");
        if !reading.await? {
            return Err(UNKNOWN);
        }
        let mut connection = self.access.connection().await?;
        vehicles::find(&mut connection, vehicle_id)
            .await?
            .ok_or(UNKNOWN)
    }
}

const UNKNOWN: ServiceError = ServiceError::NotFound {
    what: "vehicle",
    pointer: None,
};

/// The beginning of an audit line about a vehicle.
fn about(caller: &Caller, action: &'static str, vehicle_id: VehicleId) -> AuditEntry {
    AuditEntry {
        entity_id: Some(vehicle_id.0),
        ..caller.audit(action, "vehicle")
    }
}

/// Makes sure that a vehicle can belong to somebody, and keeps them from being deleted and from getting
/// another role until the transaction ends.
async fn keep_customer(
    transaction: &mut Transaction,
    owner_id: UserId,
) -> Result<(), ServiceError> {
    let owner = users::keep_unchanged(transaction, owner_id).await?;
    if owner.is_some_and(|owner| owner.role == Role::Customer) {
        return Ok(());
    }
    let detail = "must be the user_id of a customer";
    let errors = vec![FieldError::new("/owner_id", detail)];
    Err(ServiceError::Invalid(errors))
}

fn check_size(metadata: &Map<String, Value>) -> Result<(), ServiceError> {
    match json_limits::check_size(metadata, "/metadata")? {
        None => Ok(()),
        Some(error) => Err(ServiceError::Invalid(vec![error])),
    }
}
