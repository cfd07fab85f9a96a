//! What is not as it should be with vehicles.

mod diagnose;
mod report;

use std::sync::Arc;

use sovd_domain::{Anomaly, AnomalyId, Diagnosis, Page, Permission, Random, VehicleId};
use sovd_storage::{
    fleet::vehicles,
    maintenance::{anomalies, diagnoses},
};

use crate::{
    audit::refusals::Concealed,
    error::ServiceError,
    identity::{access::Access, caller::Caller},
};

pub use diagnose::NewDiagnosis;
pub use report::NewAnomaly;
pub use sovd_storage::maintenance::anomalies::AnomalyFilter;

/// Looks at anomalies and their diagnoses, and takes in what people report.
pub struct Anomalies {
    access: Access,
    random: Arc<dyn Random>,
}

impl Anomalies {
    /// An anomaly service.
    pub fn new(access: Access, random: Arc<dyn Random>) -> Self {
        Self { access, random }
    }

    /// One page of the anomalies that match, newest first, and how many match in all.
    ///
    /// # Errors
    ///
    /// When the caller may not see anomalies.
    pub async fn list(
        &self,
        caller: &Caller,
        filter: AnomalyFilter,
        page: Page,
    ) -> Result<(Vec<Anomaly>, i64), ServiceError> {
        caller.require(Permission::ReadAnomalies)?;
        let filter = AnomalyFilter {
            among: caller.vehicles(),
            ..filter
        };
        let mut connection = self.access.bulk_connection(caller).await?;
        Ok(anomalies::list(&mut connection, &filter, page).await?)
    }

    /// The same of one vehicle.
    ///
    /// # Errors
    ///
    /// [`ServiceError::NotFound`] when there is no such vehicle that the caller may see.
    pub async fn list_of_vehicle(
        &self,
        caller: &Caller,
        vehicle_id: VehicleId,
        filter: AnomalyFilter,
        page: Page,
    ) -> Result<(Vec<Anomaly>, i64), ServiceError> {
        caller.require(Permission::ReadAnomalies)?;
        let reading = self.access.can_access_vehicle(caller, vehicle_id, READ);
        if !reading.await? {
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
        Ok(anomalies::list(&mut connection, &filter, page).await?)
    }

    /// The anomaly with the id, and the newest of its diagnoses, 100 at most.
    ///
    /// # Errors
    ///
    /// [`ServiceError::NotFound`] when there is none that the caller may see.
    pub async fn get(
        &self,
        caller: &Caller,
        anomaly_id: AnomalyId,
    ) -> Result<(Anomaly, Vec<Diagnosis>), ServiceError> {
        caller.require(Permission::ReadAnomalies)?;
        let anomaly = self.reached(caller, anomaly_id, READ).await?;
        let mut connection = self.access.connection().await?;
        let page = Page::new(Some(Page::MAX_LIMIT), None).map_err(ServiceError::internal)?;
        let (diagnoses, _) = diagnoses::list(&mut connection, anomaly_id, page).await?;
        Ok((anomaly, diagnoses))
    }

    /// One page of the diagnoses of an anomaly, newest first, and how many there are in all.
    ///
    /// # Errors
    ///
    /// [`ServiceError::NotFound`] when there is no such anomaly that the caller may see.
    pub async fn diagnoses(
        &self,
        caller: &Caller,
        anomaly_id: AnomalyId,
        page: Page,
    ) -> Result<(Vec<Diagnosis>, i64), ServiceError> {
        caller.require(Permission::ReadAnomalies)?;
        self.reached(caller, anomaly_id, READ).await?;
        let mut connection = self.access.bulk_connection(caller).await?;
        Ok(diagnoses::list(&mut connection, anomaly_id, page).await?)
    }

    /// The anomaly with the id, if it is of a vehicle that the caller may know of. Whoever asks for one
    /// that is there and of another vehicle is told that there is none, and it is written down.
    async fn reached(
        &self,
        caller: &Caller,
        anomaly_id: AnomalyId,
        action: &'static str,
    ) -> Result<Anomaly, ServiceError> {
        let found = {
            let mut connection = self.access.connection().await?;
            anomalies::find_within(&mut connection, anomaly_id, &caller.vehicles()).await?
        };
        if let Some(anomaly) = found {
            return Ok(anomaly);
        }
        let object = Concealed::Anomaly(anomaly_id);
        self.access.record_missing(caller, object, action).await?;
        Err(UNKNOWN)
    }
}

/// What the audit trail calls looking at anomalies.
const READ: &str = "anomaly.read";

const UNKNOWN: ServiceError = ServiceError::NotFound {
    what: "anomaly",
    pointer: None,
};

const UNKNOWN_VEHICLE: ServiceError = ServiceError::NotFound {
    what: "vehicle",
    pointer: None,
};
