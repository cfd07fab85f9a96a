//! The agent activity log.

use chrono::{DateTime, Utc};
use diesel::{
    dsl::sql,
    pg::Pg,
    prelude::*,
    sql_query,
    sql_types::{BigInt, Bool, Nullable, Text, Timestamptz, Uuid as SqlUuid},
};
use sovd_domain::{AgentAction, AgentActionId, AgentActionStatus, Listing, Page};

use crate::{
    Connection, Result,
    filters::filter_some,
    rows::row,
    schema::ueba_logs,
    statement::{Statement, capped_count},
};

/// Selects log entries; an unset field matches every entry.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AgentActionFilter {
    /// Entries with this status.
    pub status: Option<AgentActionStatus>,
    /// Entries of this agent.
    pub agent_name: Option<String>,
    /// Entries of this action type.
    pub action_type: Option<String>,
    /// Entries at or after this time.
    pub start: Option<DateTime<Utc>>,
    /// Entries at or before this time.
    pub end: Option<DateTime<Utc>>,
}

/// Inserts an entry.
pub async fn log(connection: &mut Connection, action: &AgentAction) -> Result<()> {
    diesel::insert_into(ueba_logs::table)
        .values(ActionRow::from(action))
        .run(connection)
        .await
}

/// Inserts an entry unless the agent is suspended from this action type; returns whether it did.
///
/// Uses a single statement, because every allowed call of an agent pays for it.
pub async fn log_unless_suspended(
    connection: &mut Connection,
    action: &AgentAction,
) -> Result<bool> {
    sql_query(
        "INSERT INTO ueba_logs
             (id, agent_name, action_type, source_node, target_node, status, timestamp)
         SELECT $1, $2, $3, $4, $5, $6, $7
         WHERE NOT EXISTS (SELECT FROM agent_suspensions
                           WHERE agent_name = $2 AND action_type = $3 AND lifted_at IS NULL)",
    )
    .bind::<SqlUuid, _>(action.id.0)
    .bind::<Text, _>(&action.agent_name)
    .bind::<Text, _>(&action.action_type)
    .bind::<Nullable<Text>, _>(&action.source_node)
    .bind::<Nullable<Text>, _>(&action.target_node)
    .bind::<Text, _>(action.status.as_str())
    .bind::<Timestamptz, _>(action.timestamp)
    .affects_rows(connection)
    .await
}

/// Returns a page of the matching entries, newest first.
///
/// The page is an index scan. The count reads an index entry of every match, and the rows themselves
/// if several fields are set; the retention of the log bounds its cost.
pub async fn list(
    connection: &mut Connection,
    filter: &AgentActionFilter,
    page: Page,
) -> Result<Listing<AgentAction>> {
    newest_first(filter)
        .select(ActionRow::as_select())
        .fetch_page(connection, capped_count(matching(filter)), &page)
        .await
}

/// Returns up to `limit` blocked attempts, newest first.
pub async fn blocked(connection: &mut Connection, limit: i64) -> Result<Vec<AgentAction>> {
    let filter = AgentActionFilter {
        status: Some(AgentActionStatus::Blocked),
        ..AgentActionFilter::default()
    };
    newest_first(&filter)
        .select(ActionRow::as_select())
        .limit(limit)
        .fetch_all(connection)
        .await
}

/// Deletes up to `limit` entries from before `cutoff`, oldest first, and returns their number.
/// Concurrent calls delete different entries.
pub async fn delete_before(
    connection: &mut Connection,
    cutoff: DateTime<Utc>,
    limit: i64,
) -> Result<usize> {
    sql_query(
        "DELETE FROM ueba_logs WHERE id IN (
             SELECT id FROM ueba_logs WHERE timestamp < $1
             ORDER BY timestamp LIMIT $2 FOR UPDATE SKIP LOCKED)",
    )
    .bind::<Timestamptz, _>(cutoff)
    .bind::<BigInt, _>(limit)
    .count_rows(connection)
    .await
}

fn newest_first(filter: &AgentActionFilter) -> ueba_logs::BoxedQuery<'_, Pg> {
    matching(filter).order((ueba_logs::timestamp.desc(), ueba_logs::id.desc()))
}

fn matching(filter: &AgentActionFilter) -> ueba_logs::BoxedQuery<'_, Pg> {
    let mut query = ueba_logs::table.into_boxed();
    match filter.status {
        // A literal, because a parameter would not match the partial indexes of blocked entries.
        Some(AgentActionStatus::Blocked) => {
            query = query.filter(sql::<Bool>("status = 'BLOCKED'"));
        }
        Some(status @ AgentActionStatus::Allowed) => {
            query = query.filter(ueba_logs::status.eq(status.as_str()));
        }
        None => {}
    }
    filter_some!(
        query,
        ueba_logs::agent_name.eq(filter.agent_name.as_ref()),
        ueba_logs::action_type.eq(filter.action_type.as_ref()),
        ueba_logs::timestamp.ge(filter.start),
        ueba_logs::timestamp.le(filter.end),
    );
    query
}

row!(ActionRow of ueba_logs[id] for AgentAction {
    id: AgentActionId,
    agent_name: String,
    action_type: String,
    source_node: Option<String>,
    target_node: Option<String>,
    status: AgentActionStatus,
    timestamp: DateTime<Utc>,
});
