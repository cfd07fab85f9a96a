//! Diagnoses of anomalies.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use sovd_domain::{AnomalyId, Diagnosis, DiagnosisId, Page};

use crate::{Connection, Result, rows::row, schema::diagnoses, statement::Statement};

/// Inserts a diagnosis.
///
/// # Errors
///
/// [`Dangling`](crate::StorageError::Dangling) if the anomaly does not exist.
pub async fn insert(connection: &mut Connection, diagnosis: &Diagnosis) -> Result<()> {
    diesel::insert_into(diagnoses::table)
        .values(DiagnosisRow::from(diagnosis))
        .run(connection)
        .await
}

/// Returns a page of the diagnoses of an anomaly, newest first, and their total number.
pub async fn list(
    connection: &mut Connection,
    anomaly_id: AnomalyId,
    page: Page,
) -> Result<(Vec<Diagnosis>, i64)> {
    let of_anomaly = diagnoses::table.filter(diagnoses::anomaly_event_id.eq(anomaly_id.0));
    let total = of_anomaly.count().get_result(connection).await?;
    let found = of_anomaly
        .select(DiagnosisRow::as_select())
        .order((diagnoses::created_at.desc(), diagnoses::id.desc()))
        .limit(page.limit())
        .offset(page.offset())
        .fetch_all(connection)
        .await?;
    Ok((found, total))
}

row!(DiagnosisRow of diagnoses[id] for Diagnosis {
    id: DiagnosisId,
    anomaly_event_id: AnomalyId,
    diagnosis_text: String,
    confidence_score: f64,
    created_at: DateTime<Utc>,
});
