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
use crate::{Connection, Result, schema::manufacturing_insights, statement::Statement};

/// The closed anomalies of one component in one model and model year.
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
    /// Number of failures that workshops have confirmed.
    #[diesel(sql_type = BigInt)]
    pub failures: i64,
    /// Number of anomalies that workshops have closed.
    #[diesel(sql_type = BigInt)]
    pub closed: i64,
    /// Number of vehicles with confirmed failures.
    #[diesel(sql_type = BigInt)]
    pub vehicles: i64,
    /// The distinct trouble codes of the confirmed failures.
    #[diesel(sql_type = Array<Text>)]
    pub dtc_codes: Vec<String>,
}

/// A group of which an insight can be derived, because it has failures that belong to no insight yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DerivableGroup {
    /// The group, with all of its failures.
    pub group: FailureGroup,
    /// The failures that belong to no insight.
    pub new_failures: Vec<AnomalyId>,
}

/// Serializes derivations until the transaction ends, so that the result of [`derivable_groups`] is still
/// current when it is written.
pub async fn lock_derivation(connection: &mut Connection) -> Result<()> {
    sql_query("SELECT pg_advisory_xact_lock(hashtextextended('sovd derivation', 0))")
        .run(connection)
        .await
}

/// Returns up to `limit` groups with more than `threshold` confirmed failures, at least one of which
/// belongs to no insight, most failures first. Locks the failures without an insight against deletion
/// until the transaction ends, and omits groups with failures that are being deleted.
pub async fn derivable_groups(
    connection: &mut Connection,
    threshold: i64,
    limit: i64,
) -> Result<Vec<DerivableGroup>> {
    let rows: Vec<DerivableGroupRow> = sql_query(
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
    // A concurrent deletion of vehicles may hold some of these locks and wait for others; waiting here
    // could deadlock.
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
    let groups = rows
        .into_iter()
        .filter(|row| row.new_failures.iter().all(|id| locked.contains(id)))
        .map(|row| DerivableGroup {
            group: row.group,
            new_failures: row.new_failures.into_iter().map(AnomalyId).collect(),
        });
    Ok(groups.collect())
}

/// Inserts insights, each with the failures that it was derived from.
///
/// # Errors
///
/// `StorageError::Duplicate` if a failure belongs to an insight already; `StorageError::Dangling` if
/// a failure does not exist.
pub async fn insert_derived(
    connection: &mut Connection,
    derived: &[(Insight, Vec<AnomalyId>)],
) -> Result<()> {
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
    .run(connection)
    .await
}

#[derive(QueryableByName)]
struct DerivableGroupRow {
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
