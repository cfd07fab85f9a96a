use chrono::{DateTime, Datelike, Utc};
use serde_json::{Map, Value, json};
use sovd_domain::{Anomaly, AnomalyId, AuditEntry, FieldError, Permission, Severity, VehicleId};
use sovd_storage::{Transaction, audit, fleet::vehicles, maintenance::anomalies};

use super::Anomalies;
use crate::{error::ServiceError, identity::caller::Caller, json_limits};

/// The first year in which anything can have been found.
const FIRST_YEAR: i32 = 2000;

const REPORT: &str = "anomaly.report";

/// An anomaly that somebody reports.
#[derive(Debug, Clone)]
pub struct NewAnomaly {
    /// The vehicle.
    pub vehicle_id: VehicleId,
    /// What kind it is.
    pub anomaly_type: String,
    /// How bad it is.
    pub severity: Severity,
    /// What was measured when it was found; at most 64 KiB as JSON.
    pub sensor_snapshot: Option<Map<String, Value>>,
    /// The remaining useful life, in the unit of whoever predicts.
    pub rul_prediction: Option<f64>,
    /// The part of the vehicle that is suspected.
    pub component_name: Option<String>,
    /// When it was found: in 2000 or later and not in the future. Now, when it is not said.
    pub detected_at: Option<DateTime<Utc>>,
}

impl Anomalies {
    /// Takes in an anomaly that somebody reports.
    ///
    /// # Errors
    ///
    /// [`ServiceError::Forbidden`] to those who only read; [`ServiceError::Invalid`] when the snapshot is
    /// too large or the moment cannot be; [`ServiceError::NotFound`] when there is no such vehicle that
    /// the caller may know of.
    pub async fn report(&self, caller: &Caller, new: NewAnomaly) -> Result<Anomaly, ServiceError> {
        caller.require(Permission::RecordAnomalies)?;
        let now = self.access.now();
        let detected_at = new.check(now)?;
        let reporting = self
            .access
            .can_access_vehicle(caller, new.vehicle_id, REPORT);
        if !reporting.await? {
            return Err(UNKNOWN_VEHICLE);
        }
        let anomaly = Anomaly {
            id: AnomalyId(self.random.uuid()),
            vehicle_id: new.vehicle_id,
            detected_at,
            anomaly_type: new.anomaly_type,
            severity: new.severity,
            sensor_snapshot: new.sensor_snapshot.map(Value::Object),
            rul_prediction: new.rul_prediction,
            component_name: new.component_name,
            source: None,
            closure: None,
        };
        let insert = async |transaction: &mut Transaction, _| {
            insert(transaction, caller, &anomaly, now).await
        };
        self.access.change(caller, insert).await?;
        Ok(anomaly)
    }

    /// The same of a vehicle that the caller has not named beside what was found.
    ///
    /// # Errors
    ///
    /// Those of [`Anomalies::report`]; that there is no such vehicle points nowhere.
    pub async fn report_of_vehicle(
        &self,
        caller: &Caller,
        new: NewAnomaly,
    ) -> Result<Anomaly, ServiceError> {
        self.report(caller, new).await.map_err(|error| match error {
            ServiceError::NotFound { what, .. } => ServiceError::NotFound {
                what,
                pointer: None,
            },
            error => error,
        })
    }
}

impl NewAnomaly {
    /// When it was found, if all of it can be so at `now`.
    fn check(&self, now: DateTime<Utc>) -> Result<DateTime<Utc>, ServiceError> {
        let mut errors = Vec::new();
        if let Some(snapshot) = &self.sensor_snapshot {
            errors.extend(json_limits::check_size(snapshot, "/sensor_snapshot")?);
        }
        match detection(self.detected_at.unwrap_or(now), now) {
            Ok(detected_at) if errors.is_empty() => return Ok(detected_at),
            Ok(_) => {}
            Err(error) => errors.push(error),
        }
        Err(ServiceError::Invalid(errors))
    }
}

/// The moment of a detection as it is kept, to the microsecond, if it can be one at `now`.
fn detection(moment: DateTime<Utc>, now: DateTime<Utc>) -> Result<DateTime<Utc>, FieldError> {
    let kept = DateTime::from_timestamp_micros(moment.timestamp_micros());
    kept.filter(|_| moment <= now && moment.year() >= FIRST_YEAR)
        .ok_or_else(|| {
            let detail = format!("must be in {FIRST_YEAR} or later and not in the future");
            FieldError::new("/detected_at", detail)
        })
}

const UNKNOWN_VEHICLE: ServiceError = ServiceError::NotFound {
    what: "vehicle",
    pointer: Some("/vehicle_id"),
};

async fn insert(
    transaction: &mut Transaction,
    caller: &Caller,
    anomaly: &Anomaly,
    now: DateTime<Utc>,
) -> Result<(), ServiceError> {
    if !vehicles::keep(transaction, anomaly.vehicle_id).await? {
        return Err(UNKNOWN_VEHICLE);
    }
    anomalies::insert(transaction, anomaly).await?;
    let entry = AuditEntry {
        entity_id: Some(anomaly.id.0),
        vehicle_id: Some(anomaly.vehicle_id),
        details: json!({
            "anomaly_type": anomaly.anomaly_type,
            "severity": anomaly.severity,
            "detected_at": anomaly.detected_at,
            "rul_prediction": anomaly.rul_prediction,
            "component_name": anomaly.component_name,
        }),
        ..caller.audit(REPORT, "anomaly")
    };
    Ok(audit::insert(transaction, &entry, now).await?)
}
