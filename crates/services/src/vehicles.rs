//! The fleet.

use sovd_domain::{Page, Permission, Vehicle, VehicleId};
use sovd_storage::vehicles;

use crate::{caller::Caller, environment::Environment, error::ServiceError};

pub use sovd_storage::vehicles::VehicleFilter;

/// Looks at vehicles.
pub struct Vehicles {
    environment: Environment,
}

impl Vehicles {
    /// A vehicle service.
    pub fn new(environment: Environment) -> Self {
        Self { environment }
    }

    /// One page of the vehicles that match, by VIN, and how many match in all.
    ///
    /// # Errors
    ///
    /// When the caller may not see vehicles.
    pub async fn list(
        &self,
        caller: &Caller,
        mut filter: VehicleFilter,
        page: Page,
    ) -> Result<(Vec<Vehicle>, i64), ServiceError> {
        caller.require(Permission::ReadVehicles)?;
        filter.among = caller.vehicles();
        let mut connection = self.environment.database.connection().await?;
        Ok(vehicles::list(&mut connection, &filter, page).await?)
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
        let unknown = ServiceError::NotFound {
            what: "vehicle",
            pointer: None,
        };
        let reading = self.environment.reaches(caller, vehicle_id, "vehicle.read");
        if !reading.await {
            return Err(unknown);
        }
        let mut connection = self.environment.database.connection().await?;
        vehicles::find(&mut connection, vehicle_id)
            .await?
            .ok_or(unknown)
    }
}
