//! Anomalies of vehicles and their diagnoses.

mod diagnoses;
mod report;

use std::sync::Arc;

use derive_more::Constructor;
use sovd_domain::{
    Anomaly, AnomalyId, Diagnosis, Listing, Page, Permission, Random, VehicleId, VehicleScope,
    paging::AnomalyKey,
};
use sovd_storage::{
    fleet::vehicles,
    maintenance::{self, anomalies},
};

use crate::{
    audit::refusals::Concealed,
    error::{Result, ServiceError},
    identity::{access::Access, caller::Caller},
};

pub use diagnoses::NewDiagnosis;
pub use report::NewAnomaly;
pub use sovd_storage::maintenance::anomalies::AnomalyFilter;

/// The audited action of reading anomalies.
const READ: &str = "anomaly.read";

const UNKNOWN: ServiceError = ServiceError::not_found("anomaly", None);
const UNKNOWN_VEHICLE: ServiceError = ServiceError::not_found("vehicle", None);

/// Reads, reports and diagnoses anomalies.
#[derive(Constructor)]
pub struct Anomalies {
    access: Access,
    random: Arc<dyn Random>,
}

impl Anomalies {
    /// Returns a page of the matching anomalies that the caller can access, newest first.
    pub async fn list(
        &self,
        caller: &Caller,
        filter: &AnomalyFilter,
        page: Page<AnomalyKey>,
    ) -> Result<Listing<Anomaly>> {
        caller.require(Permission::ReadAnomalies)?;
        let mut connection = self.access.bulk_connection(caller).await?;
        Ok(anomalies::list(&mut connection, filter, &caller.vehicle_scope(), page).await?)
    }

    /// Returns a page of the matching anomalies of one vehicle, newest first.
    pub async fn list_of_vehicle(
        &self,
        caller: &Caller,
        vehicle_id: VehicleId,
        filter: AnomalyFilter,
        page: Page<AnomalyKey>,
    ) -> Result<Listing<Anomaly>> {
        caller.require(Permission::ReadAnomalies)?;
        let can_access = self.access.can_access_vehicle(caller, vehicle_id, READ);
        if !can_access.await? {
            return Err(UNKNOWN_VEHICLE);
        }
        let filter = AnomalyFilter {
            vehicle_id: Some(vehicle_id),
            ..filter
        };
        let mut connection = self.access.bulk_connection(caller).await?;
        if vehicles::find(&mut connection, vehicle_id).await?.is_none() {
            return Err(UNKNOWN_VEHICLE);
        }
        Ok(anomalies::list(&mut connection, &filter, &VehicleScope::All, page).await?)
    }

    /// Returns the anomaly with the id and up to 100 of its diagnoses, newest first.
    pub async fn get(
        &self,
        caller: &Caller,
        anomaly_id: AnomalyId,
    ) -> Result<(Anomaly, Vec<Diagnosis>)> {
        caller.require(Permission::ReadAnomalies)?;
        let anomaly = self.find(caller, anomaly_id, READ).await?;
        let mut connection = self.access.connection().await?;
        let page = Page::new(Some(Page::MAX_LIMIT), None).map_err(ServiceError::internal)?;
        let diagnoses = maintenance::diagnoses::list(&mut connection, anomaly_id, page).await?;
        Ok((anomaly, diagnoses.items))
    }

    /// Returns the anomaly with the id if the caller can access its vehicle; records the attempt if not.
    async fn find(
        &self,
        caller: &Caller,
        anomaly_id: AnomalyId,
        action: &'static str,
    ) -> Result<Anomaly> {
        let found = {
            let mut connection = self.access.connection().await?;
            anomalies::find_within(&mut connection, anomaly_id, &caller.vehicle_scope()).await?
        };
        if let Some(anomaly) = found {
            return Ok(anomaly);
        }
        let object = Concealed::Anomaly(anomaly_id);
        Err(self.access.missing(caller, object, action).await)
    }
}
