use chrono::{DateTime, Datelike, SubsecRound, Utc};
use serde_json::{Map, Value, json};
use sovd_domain::{Anomaly, AnomalyId, AuditEntry, FieldError, Permission, Severity, VehicleId};
use sovd_storage::{Transaction, anomalies, audit, vehicles};

use super::Anomalies;
use crate::{caller::Caller, error::ServiceError, free_form};

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
        let now = self.environment.clock.now();
        new.check(now)?;
        let reporting = self.environment.reaches(caller, new.vehicle_id, REPORT);
        if !reporting.await? {
            return Err(UNKNOWN_VEHICLE);
        }
        let anomaly = Anomaly {
            id: AnomalyId(self.environment.random.uuid()),
            vehicle_id: new.vehicle_id,
            // What PostgreSQL keeps of it.
            detected_at: new
                .detected_at
                .map_or(now, |moment| moment.trunc_subsecs(6)),
            anomaly_type: new.anomaly_type,
            severity: new.severity,
            sensor_snapshot: new.sensor_snapshot.map(Value::Object),
            rul_prediction: new.rul_prediction,
            source: None,
            closure: None,
        };
        let mut transaction = self.environment.database.begin().await?;
        if let Err(refusal) = insert(&mut transaction, caller, &anomaly, now).await {
            transaction.rollback().await?;
            return Err(refusal);
        }
        transaction.commit().await?;
        Ok(anomaly)
    }
}

impl NewAnomaly {
    fn check(&self, now: DateTime<Utc>) -> Result<(), ServiceError> {
        let mut errors = Vec::new();
        if let Some(snapshot) = &self.sensor_snapshot {
            errors.extend(free_form::check_size(snapshot, "/sensor_snapshot")?);
        }
        if self
            .detected_at
            .is_some_and(|moment| moment > now || moment.year() < FIRST_YEAR)
        {
            let detail = format!("must be in {FIRST_YEAR} or later and not in the future");
            errors.push(FieldError::new("/detected_at", detail));
        }
        if errors.is_empty() {
            Ok(())
        } else {
            Err(ServiceError::Invalid(errors))
        }
    }
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
    caller.hold(transaction, now).await?;
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
        }),
        ..caller.audit(REPORT, "anomaly")
    };
    Ok(audit::insert(transaction, &entry, now).await?)
}
