//! Suspensions of agents, and the advisory locks that order attempts, changes and suspensions.

use chrono::{DateTime, Utc};
use diesel::{
    dsl::exists,
    pg::Pg,
    prelude::*,
    select, sql_query,
    sql_types::{BigInt, Text},
};
use diesel_async::RunQueryDsl;
use sovd_domain::{Listing, Page, Suspension, SuspensionId, UserId};

use crate::{
    Connection, Result, Transaction,
    rows::row,
    schema::agent_suspensions,
    statement::{Statement, capped_count},
};

/// Seeds that separate the advisory locks of attempts and of changes from each other and from others.
const ATTEMPTS: i64 = 0x7565_6261;
const CHANGES: i64 = 0x7565_6262;

/// Selects suspensions; an unset field matches every suspension.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SuspensionFilter {
    /// Suspensions of this agent.
    pub agent_name: Option<String>,
    /// Active suspensions, or lifted ones.
    pub is_active: Option<bool>,
}

/// Acquires the attempts lock of an agent and action type until the transaction ends. Counting an
/// attempt and lifting a suspension require it.
pub async fn lock_attempts(
    transaction: &mut Transaction,
    agent_name: &str,
    action_type: &str,
) -> Result<()> {
    let lock = "SELECT pg_advisory_xact_lock(hashtextextended($1, $2))";
    acquire(transaction, lock, ATTEMPTS, agent_name, action_type).await
}

/// Acquires the changes lock of an agent and action type in shared mode until the transaction ends.
/// Returns whether the agent is not suspended, which holds for the same time.
pub async fn lock_action_type(
    transaction: &mut Transaction,
    agent_name: &str,
    action_type: &str,
) -> Result<bool> {
    let lock = "SELECT pg_advisory_xact_lock_shared(hashtextextended($1, $2))";
    acquire(transaction, lock, CHANGES, agent_name, action_type).await?;
    // A separate statement, whose snapshot includes what was committed during the wait.
    Ok(!is_active(transaction, agent_name, action_type).await?)
}

/// Acquires the changes lock of an agent and action type in exclusive mode until the transaction
/// ends. Inserting a suspension requires it, after [`lock_attempts`].
pub async fn lock_changes(
    transaction: &mut Transaction,
    agent_name: &str,
    action_type: &str,
) -> Result<()> {
    let lock = "SELECT pg_advisory_xact_lock(hashtextextended($1, $2))";
    acquire(transaction, lock, CHANGES, agent_name, action_type).await
}

/// Inserts a suspension unless one is active for this agent and action type; returns whether it did.
pub async fn insert(connection: &mut Connection, suspension: &Suspension) -> Result<bool> {
    diesel::insert_into(agent_suspensions::table)
        .values(SuspensionRow::from(suspension))
        .on_conflict_do_nothing()
        .affects_rows(connection)
        .await
}

/// Returns whether the agent is suspended from this action type.
pub async fn is_active(
    connection: &mut Connection,
    agent_name: &str,
    action_type: &str,
) -> Result<bool> {
    let active = agent_suspensions::table
        .filter(agent_suspensions::agent_name.eq(agent_name))
        .filter(agent_suspensions::action_type.eq(action_type))
        .filter(agent_suspensions::lifted_at.is_null());
    Ok(select(exists(active)).get_result(connection).await?)
}

/// Returns a page of the matching suspensions, newest first.
pub async fn list(
    connection: &mut Connection,
    filter: &SuspensionFilter,
    page: Page,
) -> Result<Listing<Suspension>> {
    matching(filter)
        .select(SuspensionRow::as_select())
        .order((
            agent_suspensions::suspended_at.desc(),
            agent_suspensions::suspension_id.desc(),
        ))
        .fetch_page(connection, capped_count(matching(filter)), &page)
        .await
}

/// Returns the suspension with the id.
pub async fn find(
    connection: &mut Connection,
    suspension_id: SuspensionId,
) -> Result<Option<Suspension>> {
    agent_suspensions::table
        .find(suspension_id.0)
        .select(SuspensionRow::as_select())
        .fetch_first(connection)
        .await
}

/// Lifts an active suspension; returns whether it was active.
///
/// # Errors
///
/// `StorageError::Dangling` if the admin does not exist.
pub async fn lift(
    connection: &mut Connection,
    suspension_id: SuspensionId,
    lifted_by: UserId,
    now: DateTime<Utc>,
) -> Result<bool> {
    let active = agent_suspensions::table
        .find(suspension_id.0)
        .filter(agent_suspensions::lifted_at.is_null());
    diesel::update(active)
        .set((
            agent_suspensions::lifted_at.eq(now),
            agent_suspensions::lifted_by.eq(lifted_by.0),
        ))
        .affects_rows(connection)
        .await
}

async fn acquire(
    transaction: &mut Transaction,
    lock: &str,
    seed: i64,
    agent_name: &str,
    action_type: &str,
) -> Result<()> {
    sql_query(lock)
        .bind::<Text, _>(format!("{agent_name}\n{action_type}"))
        .bind::<BigInt, _>(seed)
        .run(transaction)
        .await
}

fn matching(filter: &SuspensionFilter) -> agent_suspensions::BoxedQuery<'_, Pg> {
    let mut query = agent_suspensions::table.into_boxed();
    if let Some(agent_name) = &filter.agent_name {
        query = query.filter(agent_suspensions::agent_name.eq(agent_name));
    }
    match filter.is_active {
        Some(true) => query = query.filter(agent_suspensions::lifted_at.is_null()),
        Some(false) => query = query.filter(agent_suspensions::lifted_at.is_not_null()),
        None => {}
    }
    query
}

row!(SuspensionRow of agent_suspensions[suspension_id] for Suspension {
    suspension_id: SuspensionId,
    agent_name: String,
    action_type: String,
    blocked_attempts: i64,
    suspended_at: DateTime<Utc>,
    lifted_at: Option<DateTime<Utc>>,
    lifted_by: Option<UserId>,
});
