use diesel::{
    prelude::*,
    sql_query,
    sql_types::{BigInt, Text},
};
use diesel_async::RunQueryDsl;

use crate::{Connection, Result};

/// The anomalies that a rule has detected, counted by their state.
#[derive(Debug, Clone, Default, PartialEq, Eq, QueryableByName)]
pub struct RuleOutcomes {
    /// The name of the rule.
    #[diesel(sql_type = Text)]
    pub rule_name: String,
    /// Number of detected anomalies.
    #[diesel(sql_type = BigInt)]
    pub detected: i64,
    /// Number of open anomalies.
    #[diesel(sql_type = BigInt)]
    pub open: i64,
    /// Number of anomalies closed as `confirmed`.
    #[diesel(sql_type = BigInt)]
    pub confirmed: i64,
    /// Number of anomalies closed as `no_fault_found`.
    #[diesel(sql_type = BigInt)]
    pub no_fault_found: i64,
    /// Number of anomalies closed as `other`.
    #[diesel(sql_type = BigInt)]
    pub other: i64,
}

/// Returns the counts of each rule that has detected anomalies, ordered by rule name.
pub async fn rule_outcomes(connection: &mut Connection) -> Result<Vec<RuleOutcomes>> {
    let outcomes = sql_query(
        "SELECT rule_name, count(*) AS detected,
                count(*) FILTER (WHERE outcome IS NULL) AS open,
                count(*) FILTER (WHERE outcome = 'confirmed') AS confirmed,
                count(*) FILTER (WHERE outcome = 'no_fault_found') AS no_fault_found,
                count(*) FILTER (WHERE outcome = 'other') AS other
         FROM anomaly_episodes
         WHERE rule_name IS NOT NULL
         GROUP BY rule_name
         ORDER BY rule_name COLLATE \"C\"",
    );
    Ok(outcomes.load(connection).await?)
}
