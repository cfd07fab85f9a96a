use diesel::{
    prelude::*,
    sql_query,
    sql_types::{Array, BigInt, Integer, Text},
};
use diesel_async::RunQueryDsl;
use sovd_domain::Insight;

use super::insert;
use crate::{Connection, StorageError, schema::derived_insights};

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

/// Keeps everybody else from deriving insights until the transaction ends, so that what
/// [`grown`] gives is still so when it is written.
///
/// # Errors
///
/// When the database is away.
pub async fn lock_derivation(connection: &mut Connection) -> Result<(), StorageError> {
    sql_query("LOCK TABLE derived_insights IN SHARE ROW EXCLUSIVE MODE")
        .execute(connection)
        .await?;
    Ok(())
}

/// The groups of more than `threshold` confirmed failures that have more than when an insight was
/// last derived from them.
///
/// # Errors
///
/// When the database is away.
pub async fn grown(
    connection: &mut Connection,
    threshold: i64,
) -> Result<Vec<FailureGroup>, StorageError> {
    let groups = sql_query(
        "SELECT found.*
         FROM (SELECT component_name, make, model, year,
                      count(*) FILTER (WHERE outcome = 'confirmed') AS failures,
                      count(*) AS closed,
                      count(DISTINCT vehicle_id) FILTER (WHERE outcome = 'confirmed') AS vehicles,
                      coalesce(array_agg(DISTINCT dtc_code COLLATE \"C\")
                          FILTER (WHERE outcome = 'confirmed' AND dtc_code IS NOT NULL), '{}')
                          AS dtc_codes
               FROM anomaly_episodes JOIN vehicles USING (vehicle_id)
               WHERE closed_at IS NOT NULL AND component_name IS NOT NULL
               GROUP BY component_name, make, model, year) AS found
         WHERE failures > $1
           AND failures > (
               SELECT coalesce(max(derived.failures), 0) FROM derived_insights AS derived
               WHERE (derived.component_name, derived.make, derived.model, derived.year)
                   = (found.component_name, found.make, found.model, found.year))
         ORDER BY failures DESC, component_name COLLATE \"C\", make, model, year",
    );
    let groups = groups.bind::<BigInt, _>(threshold);
    Ok(groups.load(connection).await?)
}

/// Writes an insight and what it was derived from.
///
/// # Errors
///
/// [`StorageError::Duplicate`] when there is one of that many failures of the group already.
pub async fn insert_derived(
    connection: &mut Connection,
    insight: &Insight,
    group: &FailureGroup,
) -> Result<(), StorageError> {
    insert(connection, insight).await?;
    diesel::insert_into(derived_insights::table)
        .values((
            derived_insights::insight_id.eq(insight.id.0),
            derived_insights::component_name.eq(&group.component_name),
            derived_insights::make.eq(&group.make),
            derived_insights::model.eq(&group.model),
            derived_insights::year.eq(group.year),
            derived_insights::failures.eq(group.failures),
        ))
        .execute(connection)
        .await?;
    Ok(())
}
