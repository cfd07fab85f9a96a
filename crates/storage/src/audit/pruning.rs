//! Pruning: deletion of the beginning of the chain after its retention.

use chrono::{DateTime, Utc};
use diesel::{
    dsl::{exists, max, select},
    prelude::*,
};
use diesel_async::RunQueryDsl;
use serde_json::json;
use sovd_domain::{AuditResult, audit::Link};

use super::chain::link_of;
use crate::{
    Connection, Result,
    schema::{audit_logs, audit_prunings},
    statement::Statement,
};

/// Returns up to `limit` links from the beginning of the chain, with the times of their entries.
pub async fn oldest_links(
    connection: &mut Connection,
    limit: i64,
) -> Result<Vec<(Link, DateTime<Utc>)>> {
    let rows: Vec<(i64, Vec<u8>, DateTime<Utc>)> = audit_logs::table
        .filter(audit_logs::position.is_not_null())
        .filter(audit_logs::hash.is_not_null())
        .order(audit_logs::position)
        .limit(limit)
        .select((
            audit_logs::position.assume_not_null(),
            audit_logs::hash.assume_not_null(),
            audit_logs::timestamp,
        ))
        .load(connection)
        .await?;
    let links = rows.into_iter().map(|(position, hash, timestamp)| {
        let link = link_of("audit_logs", Ok((position, hash)))?;
        Ok(link.map(|link| (link, timestamp)))
    });
    links.filter_map(Result::transpose).collect()
}

/// Deletes the entries up to `link`, records the link, and returns the number of deleted entries.
///
/// # Errors
///
/// `StorageError::Duplicate` if the chain was pruned to this position before.
pub async fn prune(connection: &mut Connection, link: Link, now: DateTime<Utc>) -> Result<usize> {
    diesel::insert_into(audit_prunings::table)
        .values((
            audit_prunings::position.eq(link.position),
            audit_prunings::hash.eq(&link.hash.0[..]),
            audit_prunings::pruned_at.eq(now),
        ))
        .execute(connection)
        .await?;
    let old = audit_logs::table.filter(audit_logs::position.le(link.position));
    diesel::delete(old).count_rows(connection).await
}

/// Returns the link of the latest pruning, or `None` if the chain was never pruned.
pub async fn newest(connection: &mut Connection) -> Result<Option<Link>> {
    let row = audit_prunings::table
        .order(audit_prunings::position.desc())
        .select((audit_prunings::position, audit_prunings::hash))
        .first(connection)
        .await;
    link_of("audit_prunings", row)
}

/// Returns whether an entry after the pruning, sealed or not, records it: `audit.prune`, done, by no user,
/// at the time of the pruning, with its position, its hash and the number of positions since the previous
/// pruning.
///
/// # Errors
///
/// Returns an error if the chain was not pruned up to there.
pub async fn is_recorded(connection: &mut Connection, pruning: Link) -> Result<bool> {
    let previous: Option<i64> = audit_prunings::table
        .filter(audit_prunings::position.lt(pruning.position))
        .select(max(audit_prunings::position))
        .get_result(connection)
        .await?;
    let details = json!({
        "position": pruning.position,
        "hash": pruning.hash.to_string(),
        "lines": pruning.position - previous.unwrap_or(Link::GENESIS.position),
    });
    let is_after = audit_logs::position
        .is_null()
        .or(audit_logs::position.gt(pruning.position));
    let pruned_at: DateTime<Utc> = audit_prunings::table
        .find(pruning.position)
        .select(audit_prunings::pruned_at)
        .first(connection)
        .await?;
    let entries = audit_logs::table
        .filter(audit_logs::action.eq("audit.prune"))
        .filter(audit_logs::entity_type.eq("audit"))
        .filter(audit_logs::result.eq(AuditResult::Done.as_str()))
        .filter(audit_logs::actor_id.is_null())
        .filter(audit_logs::timestamp.eq(pruned_at))
        .filter(audit_logs::details.contains(details))
        .filter(is_after.assume_not_null());
    Ok(select(exists(entries)).get_result(connection).await?)
}

/// Returns the link at `position` if the chain was once pruned to it.
pub async fn find(connection: &mut Connection, position: i64) -> Result<Option<Link>> {
    let row = audit_prunings::table
        .find(position)
        .select((audit_prunings::position, audit_prunings::hash))
        .first(connection)
        .await;
    link_of("audit_prunings", row)
}
