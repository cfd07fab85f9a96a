//! Those attempts of agents that were blocked and count towards a suspension. What is blocked because an
//! agent is suspended is none of them, and a suspension takes those that brought it about.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use sovd_domain::AgentAction;

use crate::{Connection, StorageError, schema::blocked_attempts};

/// Lets an attempt count.
///
/// # Errors
///
/// When the database is away.
pub async fn add(connection: &mut Connection, action: &AgentAction) -> Result<(), StorageError> {
    diesel::insert_into(blocked_attempts::table)
        .values((
            blocked_attempts::attempt_id.eq(action.id.0),
            blocked_attempts::agent_name.eq(&action.agent_name),
            blocked_attempts::action_type.eq(&action.action_type),
            blocked_attempts::blocked_at.eq(action.timestamp),
        ))
        .execute(connection)
        .await?;
    Ok(())
}

/// How many attempts of the agent at this kind of action count and are later than a moment.
///
/// # Errors
///
/// When the database is away.
pub async fn count(
    connection: &mut Connection,
    agent_name: &str,
    action_type: &str,
    after: DateTime<Utc>,
) -> Result<i64, StorageError> {
    Ok(blocked_attempts::table
        .filter(blocked_attempts::agent_name.eq(agent_name))
        .filter(blocked_attempts::action_type.eq(action_type))
        .filter(blocked_attempts::blocked_at.gt(after))
        .count()
        .get_result(connection)
        .await?)
}

/// Lets no attempt of the agent at this kind of action count any more.
///
/// # Errors
///
/// When the database is away.
pub async fn clear(
    connection: &mut Connection,
    agent_name: &str,
    action_type: &str,
) -> Result<(), StorageError> {
    let attempts = blocked_attempts::table
        .filter(blocked_attempts::agent_name.eq(agent_name))
        .filter(blocked_attempts::action_type.eq(action_type));
    diesel::delete(attempts).execute(connection).await?;
    Ok(())
}

/// Forgets what is not later than a moment.
///
/// # Errors
///
/// When the database is away.
pub async fn forget(
    connection: &mut Connection,
    moment: DateTime<Utc>,
) -> Result<(), StorageError> {
    let attempts = blocked_attempts::table.filter(blocked_attempts::blocked_at.le(moment));
    diesel::delete(attempts).execute(connection).await?;
    Ok(())
}
