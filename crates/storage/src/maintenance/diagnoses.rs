//! Diagnoses of anomalies.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use sovd_domain::{AnomalyId, Diagnosis, DiagnosisId, Listing, Page};

use crate::{
    Connection, Result,
    rows::row,
    schema::diagnoses,
    statement::{Statement, capped_count},
};

/// Inserts a diagnosis.
///
/// # Errors
///
/// `StorageError::Dangling` if the anomaly does not exist.
pub async fn insert(connection: &mut Connection, diagnosis: &Diagnosis) -> Result<()> {
    diesel::insert_into(diagnoses::table)
        .values(DiagnosisRow::from(diagnosis))
        .run(connection)
        .await
}

/// Returns a page of the diagnoses of an anomaly, newest first.
pub async fn list(
    connection: &mut Connection,
    anomaly_id: AnomalyId,
    page: Page,
) -> Result<Listing<Diagnosis>> {
    let of_anomaly = diagnoses::table.filter(diagnoses::anomaly_event_id.eq(anomaly_id.0));
    of_anomaly
        .select(DiagnosisRow::as_select())
        .order((diagnoses::created_at.desc(), diagnoses::id.desc()))
        .fetch_page(connection, capped_count(of_anomaly), &page)
        .await
}

row!(DiagnosisRow of diagnoses[id] for Diagnosis {
    id: DiagnosisId,
    anomaly_event_id: AnomalyId,
    diagnosis_text: String,
    confidence_score: f64,
    created_at: DateTime<Utc>,
});
