use std::collections::HashSet;

use diesel::{
    prelude::*,
    sql_query,
    sql_types::{Array, BigInt, Integer, Text, Uuid as SqlUuid},
};
use diesel_async::RunQueryDsl;
use sovd_domain::{AnomalyId, Insight};
use uuid::Uuid;

use super::InsightRow;
use crate::{Connection, StorageError, schema::manufacturing_insights};

/// The confirmed failures of one component in one model and model year.
#[derive(Debug, Clone, PartialEq, Eq, QueryableByName)]
pub struct FailureGroup {
    /// The component.
    #[diesel(sql_type = Text)]
    pub component_name: String,
    /// The manufacturer.
    #[diesel(sql_type = Text)]
    pub make: String,
    /// The model.
    #[diesel(sql_type = Text)]
    pub model: String,
    /// The model year.
    #[diesel(sql_type = Integer)]
    pub year: i32,
    /// How many failures workshops have confirmed.
    #[diesel(sql_type = BigInt)]
    pub failures: i64,
    /// How many suspected failures workshops have looked at.
    #[diesel(sql_type = BigInt)]
    pub closed: i64,
    /// On how many vehicles the confirmed ones were.
    #[diesel(sql_type = BigInt)]
    pub vehicles: i64,
    /// The trouble codes that showed them, each once.
    #[diesel(sql_type = Array<Text>)]
    pub dtc_codes: Vec<String>,
}

/// A group that has grown since an insight was last derived from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Growth {
    /// All of its failures.
    pub group: FailureGroup,
    /// Its failures that are in no insight yet.
    pub failures: Vec<AnomalyId>,
}

/// Keeps everybody else from deriving insights until the transaction ends, so that what
/// [`grown`] gives is still so when it is written. Nobody else waits for it.
///
/// # Errors
///
/// When the database is away.
pub async fn lock_derivation(connection: &mut Connection) -> Result<(), StorageError> {
    sql_query("SELECT pg_advisory_xact_lock(hashtextextended('sovd derivation', 0))")
        .execute(connection)
        .await?;
    Ok(())
}

/// The groups of more than `threshold` confirmed failures of which at least one is in no insight yet,
/// those with the most failures first and `limit` at most. The failures that are in none are kept from
/// deletion until the transaction ends; a group of which somebody deletes one now is left out.
///
/// # Errors
///
/// When the database is away.
pub async fn grown(
    connection: &mut Connection,
    threshold: i64,
    limit: i64,
) -> Result<Vec<Growth>, StorageError> {
    let rows: Vec<GrowthRow> = sql_query(
        "SELECT component_name, make, model, year,
                count(*) FILTER (WHERE outcome = 'confirmed') AS failures,
                count(*) AS closed,
                count(DISTINCT vehicle_id) FILTER (WHERE outcome = 'confirmed') AS vehicles,
                coalesce(array_agg(DISTINCT dtc_code COLLATE \"C\")
                    FILTER (WHERE outcome = 'confirmed' AND dtc_code IS NOT NULL), '{}')
                    AS dtc_codes,
                array_agg(anomaly_event_id)
                    FILTER (WHERE outcome = 'confirmed' AND insight_id IS NULL) AS new_failures
         FROM anomaly_episodes JOIN vehicles USING (vehicle_id)
              LEFT JOIN insight_failures USING (anomaly_event_id)
         WHERE closed_at IS NOT NULL AND component_name IS NOT NULL
         GROUP BY component_name, make, model, year
         HAVING count(*) FILTER (WHERE outcome = 'confirmed') > $1
            AND count(*) FILTER (WHERE outcome = 'confirmed' AND insight_id IS NULL) > 0
         ORDER BY failures DESC, component_name COLLATE \"C\", make, model, year
         LIMIT $2",
    )
    .bind::<BigInt, _>(threshold)
    .bind::<BigInt, _>(limit)
    .load(connection)
    .await?;
    // Whoever deletes vehicles has locked some of their episodes and wants more. To wait for one could
    // be to wait for each other.
    let new_failures: Vec<Uuid> = rows
        .iter()
        .flat_map(|row| row.new_failures.iter().copied())
        .collect();
    let locked: Vec<Locked> = sql_query(
        "SELECT anomaly_event_id FROM anomaly_episodes WHERE anomaly_event_id = ANY($1)
         FOR KEY SHARE SKIP LOCKED",
    )
    .bind::<Array<SqlUuid>, _>(new_failures)
    .load(connection)
    .await?;
    let locked: HashSet<Uuid> = locked.iter().map(|row| row.anomaly_event_id).collect();
    let grown = rows
        .into_iter()
        .filter(|row| row.new_failures.iter().all(|id| locked.contains(id)))
        .map(|row| Growth {
            group: row.group,
            failures: row.new_failures.into_iter().map(AnomalyId).collect(),
        });
    Ok(grown.collect())
}

/// Writes insights, each with the failures that are in none before.
///
/// # Errors
///
/// [`StorageError::Duplicate`] when one of the failures is in an insight already;
/// [`StorageError::Dangling`] when one of them is gone.
pub async fn insert_derived(
    connection: &mut Connection,
    derived: &[(Insight, Vec<AnomalyId>)],
) -> Result<(), StorageError> {
    let rows: Vec<InsightRow> = derived
        .iter()
        .map(|(insight, _)| InsightRow::from(insight))
        .collect();
    diesel::insert_into(manufacturing_insights::table)
        .values(rows)
        .execute(connection)
        .await?;
    let (failures, insights): (Vec<Uuid>, Vec<Uuid>) = derived
        .iter()
        .flat_map(|(insight, failures)| failures.iter().map(|failure| (failure.0, insight.id.0)))
        .unzip();
    sql_query(
        "INSERT INTO insight_failures (anomaly_event_id, insight_id) SELECT * FROM unnest($1, $2)",
    )
    .bind::<Array<SqlUuid>, _>(failures)
    .bind::<Array<SqlUuid>, _>(insights)
    .execute(connection)
    .await?;
    Ok(())
}

#[derive(QueryableByName)]
struct GrowthRow {
    #[diesel(embed)]
    group: FailureGroup,
    #[diesel(sql_type = Array<SqlUuid>)]
    new_failures: Vec<Uuid>,
}

#[derive(QueryableByName)]
struct Locked {
    #[diesel(sql_type = SqlUuid)]
    anomaly_event_id: Uuid,
}
