//! Which agents are suspended, and from what.

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

/// Keep the locks of agents apart from other advisory locks of the database, and those of their
/// attempts from those of their changes.
const ATTEMPTS: i64 = 0x7565_6261;
const CHANGES: i64 = 0x7565_6262;

/// Which suspensions to list; what is not set does not narrow the list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SuspensionFilter {
    /// Those of this agent.
    pub agent_name: Option<String>,
    /// Those that last, or those that were lifted.
    pub is_active: Option<bool>,
}

/// Makes everybody else who takes this lock, for the same agent and kind of action, wait until the
/// transaction ends. Whoever counts an attempt or lifts a suspension has it.
///
/// # Errors
///
/// [`StorageError::Unavailable`] when it is not free in time.
pub async fn lock(
    transaction: &mut Transaction,
    agent_name: &str,
    action_type: &str,
) -> Result<(), StorageError> {
    let lock = "SELECT pg_advisory_xact_lock(hashtextextended($1, $2))";
    take(transaction, lock, ATTEMPTS, agent_name, action_type).await
}

/// Makes [`await_changes`], for the same agent and kind of action, wait until the transaction ends; says
/// whether the agent may go on, which stays so as long.
///
/// # Errors
///
/// [`StorageError::Unavailable`] when the lock is not free in time.
pub async fn hold(
    transaction: &mut Transaction,
    agent_name: &str,
    action_type: &str,
) -> Result<bool, StorageError> {
    let lock = "SELECT pg_advisory_xact_lock_shared(hashtextextended($1, $2))";
    take(transaction, lock, CHANGES, agent_name, action_type).await?;
    // A statement of its own, or it would not see what was written while this waited.
    Ok(!is_active(transaction, agent_name, action_type).await?)
}

/// Waits for the changes that the agent is about to commit, and makes later ones wait until the
/// transaction ends. Whoever writes a suspension has this lock, and takes it after [`lock`].
///
/// # Errors
///
/// [`StorageError::Unavailable`] when they take too long.
pub async fn await_changes(
    transaction: &mut Transaction,
    agent_name: &str,
    action_type: &str,
) -> Result<(), StorageError> {
    let lock = "SELECT pg_advisory_xact_lock(hashtextextended($1, $2))";
    take(transaction, lock, CHANGES, agent_name, action_type).await
}

/// Writes a suspension, unless the agent is suspended from this already; says whether it did.
///
/// # Errors
///
/// When the database is away.
pub async fn insert(
    connection: &mut Connection,
    suspension: &Suspension,
) -> Result<bool, StorageError> {
    let written = diesel::insert_into(agent_suspensions::table)
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
    Ok(written > 0)
}

/// Whether the agent is suspended from this kind of action.
///
/// # Errors
///
/// When the database is away.
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

/// One page of the suspensions that match, newest first, and how many match in all.
///
/// # Errors
///
/// When the database is away.
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

/// The suspension with the id.
///
/// # Errors
///
/// When the database is away.
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

/// Ends a suspension that lasts; says whether it did.
///
/// # Errors
///
/// When the database is away, or the admin is gone.
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

async fn take(
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
