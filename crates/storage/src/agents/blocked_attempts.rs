//! The blocked attempts that count towards a suspension. Attempts of a suspended agent do not count,
//! and a suspension removes the attempts that led to it.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use sovd_domain::AgentAction;

use crate::{Connection, Result, schema::blocked_attempts, statement::Statement};

/// Inserts an attempt.
pub async fn add(connection: &mut Connection, action: &AgentAction) -> Result<()> {
    diesel::insert_into(blocked_attempts::table)
        .values((
            blocked_attempts::attempt_id.eq(action.id.0),
            blocked_attempts::agent_name.eq(&action.agent_name),
            blocked_attempts::action_type.eq(&action.action_type),
            blocked_attempts::blocked_at.eq(action.timestamp),
        ))
        .run(connection)
        .await
}

/// Returns the number of the agent's attempts of this action type after `after`.
pub async fn count(
    connection: &mut Connection,
    agent_name: &str,
    action_type: &str,
    after: DateTime<Utc>,
) -> Result<i64> {
    Ok(blocked_attempts::table
        .filter(blocked_attempts::agent_name.eq(agent_name))
        .filter(blocked_attempts::action_type.eq(action_type))
        .filter(blocked_attempts::blocked_at.gt(after))
        .count()
        .get_result(connection)
        .await?)
}

/// Deletes the agent's attempts of this action type.
pub async fn clear(connection: &mut Connection, agent_name: &str, action_type: &str) -> Result<()> {
    let attempts = blocked_attempts::table
        .filter(blocked_attempts::agent_name.eq(agent_name))
        .filter(blocked_attempts::action_type.eq(action_type));
    diesel::delete(attempts).run(connection).await
}

/// Deletes the attempts at or before `cutoff`.
pub async fn delete_until(connection: &mut Connection, cutoff: DateTime<Utc>) -> Result<()> {
    let attempts = blocked_attempts::table.filter(blocked_attempts::blocked_at.le(cutoff));
    diesel::delete(attempts).run(connection).await
}
