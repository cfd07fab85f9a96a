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
use sovd_domain::{Insight, InsightId, Listing, Page};

use crate::{
    Connection, Result,
    rows::{Counted, row},
    schema::manufacturing_insights,
    statement::{Statement, capped_count},
};

pub use derived::{
    DerivableGroup, FailureGroup, derivable_groups, insert_derived, lock_derivation,
};
pub use detectors::{RuleOutcomes, rule_outcomes};

/// Returns a page of the insights about `component_name`, or about every component, newest first.
pub async fn list(
    connection: &mut Connection,
    component_name: Option<&str>,
    page: Page,
) -> Result<Listing<Insight>> {
    about(component_name)
        .select(InsightRow::as_select())
        .order((
            manufacturing_insights::created_at.desc(),
            manufacturing_insights::id.desc(),
        ))
        .fetch_page(connection, capped_count(about(component_name)), &page)
        .await
}

/// Returns the insight with the id.
pub async fn find(connection: &mut Connection, id: InsightId) -> Result<Option<Insight>> {
    manufacturing_insights::table
        .find(id.0)
        .select(InsightRow::as_select())
        .fetch_first(connection)
        .await
}

/// Inserts an insight.
pub async fn insert(connection: &mut Connection, insight: &Insight) -> Result<()> {
    diesel::insert_into(manufacturing_insights::table)
        .values(InsightRow::from(insight))
        .run(connection)
        .await
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

/// Returns a page of the components with confirmed failures or insights, most confirmed failures first.
pub async fn summary(connection: &mut Connection, page: Page) -> Result<Listing<ComponentSummary>> {
    let total: Counted = sql_query(
        "SELECT count(*) FROM (
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
    .bind::<BigInt, _>(page.limit() + 1)
    .bind::<BigInt, _>(page.offset())
    .load(connection)
    .await?;
    Ok(Listing::new(components, page.limit(), total.count))
}

fn about(component_name: Option<&str>) -> manufacturing_insights::BoxedQuery<'_, Pg> {
    let query = manufacturing_insights::table.into_boxed();
    match component_name {
        Some(name) => query.filter(manufacturing_insights::component_name.eq(name)),
        None => query,
    }
}

row!(InsightRow of manufacturing_insights[id] for Insight {
    id: InsightId,
    component_name: String,
    failure_pattern: String,
    affected_batch: Option<String>,
    recommendation: Option<String>,
    confidence_score: Option<f64>,
    created_at: DateTime<Utc>,
});
