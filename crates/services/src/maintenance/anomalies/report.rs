use chrono::{DateTime, Datelike, Utc};
use serde_json::{Map, Value, json};
use sovd_domain::{Anomaly, AnomalyId, AuditEntry, FieldError, Permission, Severity, VehicleId};
use sovd_storage::{Transaction, audit, fleet::vehicles, maintenance::anomalies};

use super::Anomalies;
use crate::{
    error::{Result, ServiceError},
    identity::caller::Caller,
    json_limits,
};

/// The earliest year of a detection.
const FIRST_YEAR: i32 = 2000;

const REPORT: &str = "anomaly.report";

const UNKNOWN_VEHICLE: ServiceError = ServiceError::not_found("vehicle", Some("/vehicle_id"));

/// A new anomaly.
#[derive(Debug, Clone)]
pub struct NewAnomaly {
    /// The vehicle.
    pub vehicle_id: VehicleId,
    /// The kind of anomaly.
    pub anomaly_type: String,
    /// How urgent it is.
    pub severity: Severity,
    /// The measurements at detection; at most 64 KiB as JSON.
    pub sensor_snapshot: Option<Map<String, Value>>,
    /// The remaining useful life, in the unit of the predictor.
    pub rul_prediction: Option<f64>,
    /// The suspected component.
    pub component_name: Option<String>,
    /// When it was detected: in 2000 or later and not in the future; `None` for now.
    pub detected_at: Option<DateTime<Utc>>,
}

impl Anomalies {
    /// Reports an anomaly.
    pub async fn report(&self, caller: &Caller, new: NewAnomaly) -> Result<Anomaly> {
        caller.require(Permission::RecordAnomalies)?;
        let now = self.access.now();
        let detected_at = new.check(now)?;
        let can_access = self
            .access
            .can_access_vehicle(caller, new.vehicle_id, REPORT);
        if !can_access.await? {
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
            if !vehicles::prevent_deletion(transaction, anomaly.vehicle_id).await? {
                return Err(UNKNOWN_VEHICLE);
            }
            anomalies::insert(transaction, &anomaly).await?;
            let entry = AuditEntry {
                vehicle_id: Some(anomaly.vehicle_id),
                details: json!({
                    "anomaly_type": anomaly.anomaly_type,
                    "severity": anomaly.severity,
                    "detected_at": anomaly.detected_at,
                    "rul_prediction": anomaly.rul_prediction,
                    "component_name": anomaly.component_name,
                }),
                ..caller.audit_of(REPORT, "anomaly", anomaly.id.0)
            };
            Ok(audit::insert(transaction, &entry, now).await?)
        };
        self.access.change(caller, insert).await?;
        Ok(anomaly)
    }

    /// Reports an anomaly of a vehicle that is named in the path and not in the body of the request, so that
    /// [`ServiceError::NotFound`] points to no field.
    pub async fn report_of_vehicle(&self, caller: &Caller, new: NewAnomaly) -> Result<Anomaly> {
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
    /// Validates the anomaly at `now` and returns its time of detection.
    fn check(&self, now: DateTime<Utc>) -> Result<DateTime<Utc>> {
        let mut errors = Vec::new();
        if let Some(snapshot) = &self.sensor_snapshot {
            errors.extend(json_limits::check_size(snapshot, "/sensor_snapshot")?);
        }
        match detection_time(self.detected_at.unwrap_or(now), now) {
            Ok(detected_at) if errors.is_empty() => return Ok(detected_at),
            Ok(_) => {}
            Err(error) => errors.push(error),
        }
        Err(ServiceError::Invalid(errors))
    }
}

/// Validates a time of detection at `now` and truncates it to microseconds, as it is stored.
fn detection_time(time: DateTime<Utc>, now: DateTime<Utc>) -> Result<DateTime<Utc>, FieldError> {
    DateTime::from_timestamp_micros(time.timestamp_micros())
        .filter(|_| time <= now && time.year() >= FIRST_YEAR)
        .ok_or_else(|| {
            let detail = format!("must be in {FIRST_YEAR} or later and not in the future");
            FieldError::new("/detected_at", detail)
        })
}
