//! Diagnoses of anomalies.

use chrono::{DateTime, Utc};
use diesel::{pg::Pg, prelude::*};
use diesel_async::RunQueryDsl;
use sovd_domain::{AnomalyId, Diagnosis, DiagnosisId, Page};
use uuid::Uuid;

use crate::{Connection, StorageError, schema::diagnoses};

/// Inserts a diagnosis.
///
/// # Errors
///
/// [`StorageError::Dangling`] if the anomaly does not exist.
pub async fn insert(
    connection: &mut Connection,
    diagnosis: &Diagnosis,
) -> Result<(), StorageError> {
    diesel::insert_into(diagnoses::table)
        .values((
            diagnoses::id.eq(diagnosis.id.0),
            diagnoses::anomaly_event_id.eq(diagnosis.anomaly_event_id.0),
            diagnoses::diagnosis_text.eq(&diagnosis.diagnosis_text),
            diagnoses::confidence_score.eq(diagnosis.confidence_score),
            diagnoses::created_at.eq(diagnosis.created_at),
        ))
        .execute(connection)
        .await?;
    Ok(())
}

/// Returns a page of the diagnoses of an anomaly, newest first, and their total number.
///
/// # Errors
///
/// See [`StorageError`].
pub async fn list(
    connection: &mut Connection,
    anomaly_id: AnomalyId,
    page: Page,
) -> Result<(Vec<Diagnosis>, i64), StorageError> {
    let of_anomaly = diagnoses::table.filter(diagnoses::anomaly_event_id.eq(anomaly_id.0));
    let total = of_anomaly.count().get_result(connection).await?;
    let rows: Vec<DiagnosisRow> = of_anomaly
        .select(DiagnosisRow::as_select())
        .order((diagnoses::created_at.desc(), diagnoses::id.desc()))
        .limit(page.limit())
        .offset(page.offset())
        .load(connection)
        .await?;
    Ok((rows.into_iter().map(Diagnosis::from).collect(), total))
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = diagnoses, check_for_backend(Pg))]
struct DiagnosisRow {
    id: Uuid,
    anomaly_event_id: Uuid,
    diagnosis_text: String,
    confidence_score: f64,
    created_at: DateTime<Utc>,
}

impl From<DiagnosisRow> for Diagnosis {
    fn from(row: DiagnosisRow) -> Self {
        Self {
            id: DiagnosisId(row.id),
            anomaly_event_id: AnomalyId(row.anomaly_event_id),
            diagnosis_text: row.diagnosis_text,
            confidence_score: row.confidence_score,
            created_at: row.created_at,
        }
    }
}
