//! Insights into component failures.

mod derived;
mod detectors;

use chrono::{DateTime, Utc};
use diesel::{
    pg::Pg,
    prelude::*,
    sql_query,
    sql_types::{BigInt, Text},
};
use diesel_async::RunQueryDsl;
use sovd_domain::{Insight, InsightId, Page};
use uuid::Uuid;

use crate::{Connection, StorageError, schema::manufacturing_insights};

pub use derived::{FailureGroup, Growth, grown, insert_derived, lock_derivation};
pub use detectors::{RuleOutcomes, rule_outcomes};

/// Returns a page of the insights about `component_name`, or about every component, newest first, and
/// their total number.
///
/// # Errors
///
/// See [`StorageError`].
pub async fn list(
    connection: &mut Connection,
    component_name: Option<&str>,
    page: Page,
) -> Result<(Vec<Insight>, i64), StorageError> {
    let total = about(component_name).count().get_result(connection).await?;
    let rows: Vec<InsightRow> = about(component_name)
        .select(InsightRow::as_select())
        .order((
            manufacturing_insights::created_at.desc(),
            manufacturing_insights::id.desc(),
        ))
        .limit(page.limit())
        .offset(page.offset())
        .load(connection)
        .await?;
    Ok((rows.into_iter().map(Insight::from).collect(), total))
}

/// Returns the insight with the id.
///
/// # Errors
///
/// See [`StorageError`].
pub async fn find(
    connection: &mut Connection,
    id: InsightId,
) -> Result<Option<Insight>, StorageError> {
    let row: Option<InsightRow> = manufacturing_insights::table
        .find(id.0)
        .select(InsightRow::as_select())
        .first(connection)
        .await
        .optional()?;
    Ok(row.map(Insight::from))
}

/// Inserts an insight.
///
/// # Errors
///
/// See [`StorageError`].
pub async fn insert(connection: &mut Connection, insight: &Insight) -> Result<(), StorageError> {
    diesel::insert_into(manufacturing_insights::table)
        .values(InsightRow::from(insight))
        .execute(connection)
        .await?;
    Ok(())
}

/// The counts of one component across the fleet.
#[derive(Debug, Clone, PartialEq, Eq, QueryableByName)]
pub struct ComponentSummary {
    /// The component.
    #[diesel(sql_type = Text)]
    pub component_name: String,
    /// Number of failures that workshops have confirmed.
    #[diesel(sql_type = BigInt)]
    pub confirmed_failures: i64,
    /// Number of insights about it.
    #[diesel(sql_type = BigInt)]
    pub insights: i64,
}

/// Returns a page of the components with confirmed failures or insights, most confirmed failures first,
/// and the total number of components.
///
/// # Errors
///
/// See [`StorageError`].
pub async fn summary(
    connection: &mut Connection,
    page: Page,
) -> Result<(Vec<ComponentSummary>, i64), StorageError> {
    let total: Total = sql_query(
        "SELECT count(*) AS total FROM (
             SELECT component_name FROM anomaly_episodes
             WHERE outcome = 'confirmed' AND component_name IS NOT NULL
             UNION SELECT component_name FROM manufacturing_insights) AS components",
    )
    .get_result(connection)
    .await?;
    let components = sql_query(
        "SELECT component_name, coalesce(failures.count, 0) AS confirmed_failures,
                coalesce(written.count, 0) AS insights
         FROM (SELECT component_name, count(*) FROM anomaly_episodes
               WHERE outcome = 'confirmed' AND component_name IS NOT NULL
               GROUP BY component_name) AS failures
         FULL JOIN (SELECT component_name, count(*) FROM manufacturing_insights
                    GROUP BY component_name) AS written USING (component_name)
         ORDER BY confirmed_failures DESC, insights DESC, component_name COLLATE \"C\"
         LIMIT $1 OFFSET $2",
    )
    .bind::<BigInt, _>(page.limit())
    .bind::<BigInt, _>(page.offset())
    .load(connection)
    .await?;
    Ok((components, total.total))
}

fn about(component_name: Option<&str>) -> manufacturing_insights::BoxedQuery<'_, Pg> {
    let query = manufacturing_insights::table.into_boxed();
    match component_name {
        Some(name) => query.filter(manufacturing_insights::component_name.eq(name)),
        None => query,
    }
}

#[derive(QueryableByName)]
struct Total {
    #[diesel(sql_type = BigInt)]
    total: i64,
}

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = manufacturing_insights, check_for_backend(Pg))]
#[diesel(treat_none_as_default_value = false)]
struct InsightRow {
    id: Uuid,
    component_name: String,
    failure_pattern: String,
    affected_batch: Option<String>,
    recommendation: Option<String>,
    confidence_score: Option<f64>,
    created_at: DateTime<Utc>,
}

impl From<InsightRow> for Insight {
    fn from(row: InsightRow) -> Self {
        Self {
            id: InsightId(row.id),
            component_name: row.component_name,
            failure_pattern: row.failure_pattern,
            affected_batch: row.affected_batch,
            recommendation: row.recommendation,
            confidence_score: row.confidence_score,
            created_at: row.created_at,
        }
    }
}

impl From<&Insight> for InsightRow {
    fn from(insight: &Insight) -> Self {
        Self {
            id: insight.id.0,
            component_name: insight.component_name.clone(),
            failure_pattern: insight.failure_pattern.clone(),
            affected_batch: insight.affected_batch.clone(),
            recommendation: insight.recommendation.clone(),
            confidence_score: insight.confidence_score,
            created_at: insight.created_at,
        }
    }
}
