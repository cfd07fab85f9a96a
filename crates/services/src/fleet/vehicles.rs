//! The management of vehicles.

mod change;
mod create;
mod delete;

use std::sync::Arc;

use derive_more::Constructor;
use serde_json::{Map, Value};
use sovd_domain::{
    FieldError, Listing, Page, Permission, Random, Role, UserId, Vehicle, VehicleId,
    paging::VehicleKey,
};
use sovd_storage::{Transaction, fleet::vehicles, identity::users};

use crate::{
    error::{Result, ServiceError},
    identity::{access::Access, caller::Caller},
    json_limits,
};

pub use change::VehicleChange;
pub use create::NewVehicle;
pub(crate) use delete::deletion;
pub use sovd_storage::fleet::vehicles::VehicleFilter;

/// Reads vehicles, and manages them on behalf of admins.
#[derive(Constructor)]
pub struct Vehicles {
    access: Access,
    random: Arc<dyn Random>,
}

impl Vehicles {
    /// Lists one page of the matching vehicles that the caller may see by VIN.
    pub async fn list(
        &self,
        caller: &Caller,
        filter: &VehicleFilter,
        page: Page<VehicleKey>,
    ) -> Result<Listing<Vehicle>> {
        caller.require(Permission::ReadVehicles)?;
        let mut connection = self.access.bulk_connection(caller).await?;
        Ok(vehicles::list(&mut connection, filter, &caller.vehicle_scope(), page).await?)
    }

    /// Returns a vehicle.
    pub async fn get(&self, caller: &Caller, vehicle_id: VehicleId) -> Result<Vehicle> {
        caller.require(Permission::ReadVehicles)?;
        let can_access = self
            .access
            .can_access_vehicle(caller, vehicle_id, "vehicle.read");
        if !can_access.await? {
            return Err(UNKNOWN);
        }
        let mut connection = self.access.connection().await?;
        let found = vehicles::find(&mut connection, vehicle_id).await?;
        found.ok_or(UNKNOWN)
    }
}

const UNKNOWN: ServiceError = ServiceError::not_found("vehicle", None);

/// Requires that the user is a customer, and prevents changes to them until the transaction ends.
async fn lock_customer(transaction: &mut Transaction, owner_id: UserId) -> Result<()> {
    let owner = users::lock_shared(transaction, owner_id).await?;
    if owner.is_some_and(|owner| owner.role == Role::Customer) {
        return Ok(());
    }
    let detail = "must be the user_id of a customer";
    Err(FieldError::new("/owner_id", detail).into())
}

fn check_size(metadata: &Map<String, Value>) -> Result<()> {
    match json_limits::check_size(metadata, "/metadata")? {
        None => Ok(()),
        Some(error) => Err(error.into()),
    }
}
