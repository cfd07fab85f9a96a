//! Cutting off the beginning of the chain.

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
    Connection, StorageError,
    schema::{audit_cuts, audit_logs},
};

/// The first lines of the chain, `limit` at most, and when they were written.
///
/// # Errors
///
/// When the database is away or a row is unreadable.
pub async fn beginning(
    connection: &mut Connection,
    limit: i64,
) -> Result<Vec<(Link, DateTime<Utc>)>, StorageError> {
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

/// Cuts the chain off after `link`, which stays known, and deletes the lines up to it; says how many.
///
/// # Errors
///
/// When the database is away, or refuses because no line has this link.
pub async fn after(
    connection: &mut Connection,
    link: Link,
    now: DateTime<Utc>,
) -> Result<usize, StorageError> {
    diesel::insert_into(audit_cuts::table)
        .values((
            audit_cuts::position.eq(link.position),
            audit_cuts::hash.eq(&link.hash.0[..]),
            audit_cuts::cut_at.eq(now),
        ))
        .execute(connection)
        .await?;
    let old = audit_logs::table.filter(audit_logs::position.le(link.position));
    Ok(diesel::delete(old).execute(connection).await?)
}

/// The link after which the chain begins today; nothing when it was never cut.
///
/// # Errors
///
/// When the database is away or the row is unreadable.
pub async fn newest(connection: &mut Connection) -> Result<Option<Link>, StorageError> {
    let row = audit_cuts::table
        .order(audit_cuts::position.desc())
        .select((audit_cuts::position, audit_cuts::hash))
        .first(connection)
        .await;
    link_of("audit_cuts", row)
}

/// Returns whether an entry behind `cut`, sealed or not, is the one that pruning writes about it:
/// `audit.prune`, done, by no user, at the time of the cut, with the position, the hash and the number of
/// lines between this cut and the one before.
///
/// # Errors
///
/// When the database is unavailable, or the chain was not cut off there.
pub async fn is_told(connection: &mut Connection, cut: Link) -> Result<bool, StorageError> {
    let before: Option<i64> = audit_cuts::table
        .filter(audit_cuts::position.lt(cut.position))
        .select(max(audit_cuts::position))
        .get_result(connection)
        .await?;
    let told = json!({
        "position": cut.position,
        "hash": cut.hash.to_string(),
        "lines": cut.position - before.unwrap_or(Link::GENESIS.position),
    });
    let is_behind = audit_logs::position
        .is_null()
        .or(audit_logs::position.gt(cut.position));
    let cut_at: DateTime<Utc> = audit_cuts::table
        .find(cut.position)
        .select(audit_cuts::cut_at)
        .first(connection)
        .await?;
    let lines = audit_logs::table
        .filter(audit_logs::action.eq("audit.prune"))
        .filter(audit_logs::entity_type.eq("audit"))
        .filter(audit_logs::result.eq(AuditResult::Done.as_str()))
        .filter(audit_logs::actor_id.is_null())
        .filter(audit_logs::timestamp.eq(cut_at))
        .filter(audit_logs::details.contains(told))
        .filter(is_behind.assume_not_null());
    Ok(select(exists(lines)).get_result(connection).await?)
}

/// The link at `position`, if the chain was cut off after it once.
///
/// # Errors
///
/// When the database is away or the row is unreadable.
pub async fn find(
    connection: &mut Connection,
    position: i64,
) -> Result<Option<Link>, StorageError> {
    let row = audit_cuts::table
        .find(position)
        .select((audit_cuts::position, audit_cuts::hash))
        .first(connection)
        .await;
    link_of("audit_cuts", row)
}
