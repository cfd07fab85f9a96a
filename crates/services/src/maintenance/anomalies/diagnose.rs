use serde_json::json;
use sovd_domain::{Anomaly, AnomalyId, AuditEntry, Diagnosis, DiagnosisId, Permission};
use sovd_storage::{Transaction, audit, fleet::vehicles, maintenance::diagnoses};

use super::{Anomalies, UNKNOWN};
use crate::{error::ServiceError, identity::caller::Caller};

const DIAGNOSE: &str = "anomaly.diagnose";

/// What somebody takes for the cause of an anomaly.
#[derive(Debug, Clone)]
pub struct NewDiagnosis {
    /// The cause, in words.
    pub diagnosis_text: String,
    /// How sure it is, from 0 to 1.
    pub confidence_score: f64,
}

impl Anomalies {
    /// Adds a diagnosis to an anomaly.
    ///
    /// # Errors
    ///
    /// [`ServiceError::Forbidden`] to those who only read; [`ServiceError::NotFound`] when there is no
    /// such anomaly that the caller may know of.
    pub async fn diagnose(
        &self,
        caller: &Caller,
        anomaly_id: AnomalyId,
        new: NewDiagnosis,
    ) -> Result<Diagnosis, ServiceError> {
        caller.require(Permission::RecordAnomalies)?;
        let anomaly = self.reached(caller, anomaly_id, DIAGNOSE).await?;
        let diagnosis = Diagnosis {
            id: DiagnosisId(self.random.uuid()),
            anomaly_event_id: anomaly_id,
            diagnosis_text: new.diagnosis_text,
            confidence_score: new.confidence_score,
            created_at: self.access.now(),
        };
        let insert = async |transaction: &mut Transaction, _| {
            insert(transaction, caller, &anomaly, &diagnosis).await
        };
        self.access.change(caller, insert).await?;
        Ok(diagnosis)
    }
}

async fn insert(
    transaction: &mut Transaction,
    caller: &Caller,
    anomaly: &Anomaly,
    diagnosis: &Diagnosis,
) -> Result<(), ServiceError> {
    // An anomaly is deleted with its vehicle only.
    if !vehicles::keep(transaction, anomaly.vehicle_id).await? {
        return Err(UNKNOWN);
    }
    diagnoses::insert(transaction, diagnosis).await?;
    let entry = AuditEntry {
        entity_id: Some(anomaly.id.0),
        vehicle_id: Some(anomaly.vehicle_id),
        details: json!({
            "diagnosis_id": diagnosis.id,
            "confidence_score": diagnosis.confidence_score,
        }),
        ..caller.audit(DIAGNOSE, "anomaly")
    };
    Ok(audit::insert(transaction, &entry, diagnosis.created_at).await?)
}
