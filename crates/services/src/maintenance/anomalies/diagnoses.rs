use serde_json::json;
use sovd_domain::{AnomalyId, AuditEntry, Diagnosis, DiagnosisId, Listing, Page, Permission};
use sovd_storage::{Transaction, audit, fleet::vehicles, maintenance::diagnoses};

use super::{Anomalies, READ, UNKNOWN};
use crate::{error::Result, identity::caller::Caller};

const DIAGNOSE: &str = "anomaly.diagnose";

/// A new diagnosis of an anomaly.
#[derive(Debug, Clone)]
pub struct NewDiagnosis {
    /// The presumed cause, in prose.
    pub diagnosis_text: String,
    /// Confidence from 0 to 1.
    pub confidence_score: f64,
}

impl Anomalies {
    /// Returns a page of the diagnoses of an anomaly, newest first.
    pub async fn diagnoses(
        &self,
        caller: &Caller,
        anomaly_id: AnomalyId,
        page: Page,
    ) -> Result<Listing<Diagnosis>> {
        caller.require(Permission::ReadAnomalies)?;
        self.find(caller, anomaly_id, READ).await?;
        let mut connection = self.access.bulk_connection(caller).await?;
        Ok(diagnoses::list(&mut connection, anomaly_id, page).await?)
    }

    /// Adds a diagnosis to an anomaly.
    pub async fn diagnose(
        &self,
        caller: &Caller,
        anomaly_id: AnomalyId,
        new: NewDiagnosis,
    ) -> Result<Diagnosis> {
        caller.require(Permission::RecordAnomalies)?;
        let anomaly = self.find(caller, anomaly_id, DIAGNOSE).await?;
        let diagnosis = Diagnosis {
            id: DiagnosisId(self.random.uuid()),
            anomaly_event_id: anomaly_id,
            diagnosis_text: new.diagnosis_text,
            confidence_score: new.confidence_score,
            created_at: self.access.now(),
        };
        let insert = async |transaction: &mut Transaction, _| {
            // An anomaly is only deleted with its vehicle.
            if !vehicles::prevent_deletion(transaction, anomaly.vehicle_id).await? {
                return Err(UNKNOWN);
            }
            diagnoses::insert(transaction, &diagnosis).await?;
            let entry = AuditEntry {
                vehicle_id: Some(anomaly.vehicle_id),
                details: json!({
                    "diagnosis_id": diagnosis.id,
                    "confidence_score": diagnosis.confidence_score,
                }),
                ..caller.audit_of(DIAGNOSE, "anomaly", anomaly_id.0)
            };
            Ok(audit::insert(transaction, &entry, diagnosis.created_at).await?)
        };
        self.access.change(caller, insert).await?;
        Ok(diagnosis)
    }
}
