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
use sovd_domain::{Page, Suspension, SuspensionId, UserId};
use uuid::Uuid;

use crate::{Connection, StorageError, Transaction, schema::agent_suspensions};

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

/// Acquires the attempts lock of an agent and kind of action until the transaction ends. Counting an
/// attempt and lifting a suspension require it.
///
/// # Errors
///
/// [`StorageError::Unavailable`] if the lock times out.
pub async fn lock_attempts(
    transaction: &mut Transaction,
    agent_name: &str,
    action_type: &str,
) -> Result<(), StorageError> {
    let lock = "SELECT pg_advisory_xact_lock(hashtextextended($1, $2))";
    acquire(transaction, lock, ATTEMPTS, agent_name, action_type).await
}

/// Acquires the changes lock of an agent and kind of action in shared mode until the transaction ends.
/// Returns whether the agent is not suspended, which holds for the same time.
///
/// # Errors
///
/// [`StorageError::Unavailable`] if the lock times out.
pub async fn lock_permission(
    transaction: &mut Transaction,
    agent_name: &str,
    action_type: &str,
) -> Result<bool, StorageError> {
    let lock = "SELECT pg_advisory_xact_lock_shared(hashtextextended($1, $2))";
    acquire(transaction, lock, CHANGES, agent_name, action_type).await?;
    // A separate statement, whose snapshot includes what was committed during the wait.
    Ok(!is_active(transaction, agent_name, action_type).await?)
}

/// Acquires the changes lock of an agent and kind of action in exclusive mode until the transaction
/// ends. Inserting a suspension requires it, after [`lock_attempts`].
///
/// # Errors
///
/// [`StorageError::Unavailable`] if the lock times out.
pub async fn lock_changes(
    transaction: &mut Transaction,
    agent_name: &str,
    action_type: &str,
) -> Result<(), StorageError> {
    let lock = "SELECT pg_advisory_xact_lock(hashtextextended($1, $2))";
    acquire(transaction, lock, CHANGES, agent_name, action_type).await
}

/// Inserts a suspension unless one is active for this agent and kind of action; returns whether it did.
///
/// # Errors
///
/// See [`StorageError`].
pub async fn insert(
    connection: &mut Connection,
    suspension: &Suspension,
) -> Result<bool, StorageError> {
    let inserted = diesel::insert_into(agent_suspensions::table)
        .values((
            agent_suspensions::suspension_id.eq(suspension.suspension_id.0),
            agent_suspensions::agent_name.eq(&suspension.agent_name),
            agent_suspensions::action_type.eq(&suspension.action_type),
            agent_suspensions::blocked_attempts.eq(suspension.blocked_attempts),
            agent_suspensions::suspended_at.eq(suspension.suspended_at),
            agent_suspensions::lifted_at.eq(suspension.lifted_at),
            agent_suspensions::lifted_by.eq(suspension.lifted_by.map(|id| id.0)),
        ))
        .on_conflict_do_nothing()
        .execute(connection)
        .await?;
    Ok(inserted > 0)
}

/// Returns whether the agent is suspended from this kind of action.
///
/// # Errors
///
/// See [`StorageError`].
pub async fn is_active(
    connection: &mut Connection,
    agent_name: &str,
    action_type: &str,
) -> Result<bool, StorageError> {
    let active = agent_suspensions::table
        .filter(agent_suspensions::agent_name.eq(agent_name))
        .filter(agent_suspensions::action_type.eq(action_type))
        .filter(agent_suspensions::lifted_at.is_null());
    Ok(select(exists(active)).get_result(connection).await?)
}

/// Returns a page of the matching suspensions, newest first, and the number of matching suspensions.
///
/// # Errors
///
/// See [`StorageError`].
pub async fn list(
    connection: &mut Connection,
    filter: &SuspensionFilter,
    page: Page,
) -> Result<(Vec<Suspension>, i64), StorageError> {
    let total = matching(filter).count().get_result(connection).await?;
    let rows: Vec<SuspensionRow> = matching(filter)
        .select(SuspensionRow::as_select())
        .order((
            agent_suspensions::suspended_at.desc(),
            agent_suspensions::suspension_id.desc(),
        ))
        .limit(page.limit())
        .offset(page.offset())
        .load(connection)
        .await?;
    Ok((rows.into_iter().map(Suspension::from).collect(), total))
}

/// Returns the suspension with the id.
///
/// # Errors
///
/// See [`StorageError`].
pub async fn find(
    connection: &mut Connection,
    suspension_id: SuspensionId,
) -> Result<Option<Suspension>, StorageError> {
    let row: Option<SuspensionRow> = agent_suspensions::table
        .find(suspension_id.0)
        .select(SuspensionRow::as_select())
        .first(connection)
        .await
        .optional()?;
    Ok(row.map(Suspension::from))
}

/// Lifts an active suspension; returns whether it was active.
///
/// # Errors
///
/// [`StorageError::Dangling`] if the admin does not exist.
pub async fn lift(
    connection: &mut Connection,
    suspension_id: SuspensionId,
    lifted_by: UserId,
    now: DateTime<Utc>,
) -> Result<bool, StorageError> {
    let active = agent_suspensions::table
        .find(suspension_id.0)
        .filter(agent_suspensions::lifted_at.is_null());
    let lifted = diesel::update(active)
        .set((
            agent_suspensions::lifted_at.eq(now),
            agent_suspensions::lifted_by.eq(lifted_by.0),
        ))
        .execute(connection)
        .await?;
    Ok(lifted > 0)
}

async fn acquire(
    transaction: &mut Transaction,
    lock: &str,
    seed: i64,
    agent_name: &str,
    action_type: &str,
) -> Result<(), StorageError> {
    sql_query(lock)
        .bind::<Text, _>(format!("{agent_name}\n{action_type}"))
        .bind::<BigInt, _>(seed)
        .execute(transaction)
        .await?;
    Ok(())
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

#[derive(Queryable, Selectable)]
#[diesel(table_name = agent_suspensions, check_for_backend(Pg))]
struct SuspensionRow {
    suspension_id: Uuid,
    agent_name: String,
    action_type: String,
    blocked_attempts: i64,
    suspended_at: DateTime<Utc>,
    lifted_at: Option<DateTime<Utc>>,
    lifted_by: Option<Uuid>,
}

impl From<SuspensionRow> for Suspension {
    fn from(row: SuspensionRow) -> Self {
        Self {
            suspension_id: SuspensionId(row.suspension_id),
            agent_name: row.agent_name,
            action_type: row.action_type,
            blocked_attempts: row.blocked_attempts,
            suspended_at: row.suspended_at,
            lifted_at: row.lifted_at,
            lifted_by: row.lifted_by.map(UserId),
        }
    }
}
