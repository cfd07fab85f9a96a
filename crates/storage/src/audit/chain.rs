//! The hash chain of sealed audit entries. The caller computes the hashes.

use chrono::{DateTime, Utc};
use diesel::{
    prelude::*,
    sql_query,
    sql_types::{Array, BigInt, Binary, Nullable, Text, Uuid as SqlUuid},
};
use diesel_async::{RunQueryDsl, SimpleAsyncConnection};
use sovd_domain::audit::{ChainHash, Link};
use uuid::Uuid;

use crate::{
    Connection, Result, StorageError,
    schema::{audit_chain_head, audit_logs},
    statement::Statement,
};

/// The canonical text of an entry: all columns except the references, which deletions set to NULL. The
/// first element is the version of this format.
const CONTENT: &str = "jsonb_build_array(
    'sovd-audit-1', log_id, actor_id, subject_vehicle_id, subject_command_id, action, entity_type,
    entity_id, details::text, ip_address, user_agent,
    (extract(epoch FROM audit_logs.timestamp) * 1000000)::bigint, result, request_id)::text";

/// An entry that is not sealed.
#[derive(Debug, Clone, PartialEq, Eq, QueryableByName)]
pub struct UnsealedEntry {
    /// Identifies the entry.
    #[diesel(sql_type = SqlUuid)]
    pub log_id: Uuid,
    /// The content to be hashed.
    #[diesel(sql_type = Text)]
    pub content: String,
}

/// An entry that is marked as sealed. Nothing about it is verified.
#[derive(Debug, Clone, PartialEq, Eq, QueryableByName)]
pub struct SealedEntry {
    /// Identifies the entry.
    #[diesel(sql_type = SqlUuid)]
    pub log_id: Uuid,
    /// Its position in the chain.
    #[diesel(sql_type = BigInt)]
    pub position: i64,
    /// The stored hash.
    #[diesel(sql_type = Nullable<Binary>)]
    pub hash: Option<Vec<u8>>,
    /// The content that the hash should cover.
    #[diesel(sql_type = Text)]
    pub content: String,
    /// The reference that is neither NULL nor equal to its copy: `user_id`, `vehicle_id` or `command_id`.
    #[diesel(sql_type = Nullable<Text>)]
    pub mismatched_reference: Option<String>,
}

/// Locks the head of the chain until the transaction ends and returns it, or `None` if another
/// transaction has locked it.
pub async fn claim_head(connection: &mut Connection) -> Result<Option<Link>> {
    let row = audit_chain_head::table
        .select((audit_chain_head::position, audit_chain_head::hash))
        .for_update()
        .skip_locked()
        .first(connection)
        .await;
    head_of(row)
}

/// Waits for the lock of the head of the chain and returns the head, or `None` if there is no such row.
pub async fn lock_head(connection: &mut Connection) -> Result<Option<Link>> {
    let row = audit_chain_head::table
        .select((audit_chain_head::position, audit_chain_head::hash))
        .for_update()
        .first(connection)
        .await;
    head_of(row)
}

/// Returns the head of the chain, or `None` if there is no such row.
pub async fn head(connection: &mut Connection) -> Result<Option<Link>> {
    let row = audit_chain_head::table
        .select((audit_chain_head::position, audit_chain_head::hash))
        .first(connection)
        .await;
    head_of(row)
}

/// Locks up to `limit` committed, unsealed entries until the transaction ends and returns them, oldest
/// first. Entries locked by other transactions are skipped, so that sealing and the deletion of a user
/// never wait for each other.
pub async fn lock_unsealed(connection: &mut Connection, limit: i64) -> Result<Vec<UnsealedEntry>> {
    let sql = format!(
        "SELECT log_id, {CONTENT} AS content FROM audit_logs WHERE position IS NULL
         ORDER BY audit_logs.timestamp, log_id LIMIT $1 FOR NO KEY UPDATE SKIP LOCKED"
    );
    let entries = sql_query(sql).bind::<BigInt, _>(limit).load(connection);
    Ok(entries.await?)
}

/// Advances the head of the chain to the last of the entries, which must be locked, and stores their
/// links. Call this in a transaction.
///
/// # Errors
///
/// Returns an error if a position is taken.
pub async fn seal(connection: &mut Connection, sealed: &[(Uuid, Link)]) -> Result<()> {
    let Some((_, head)) = sealed.last() else {
        return Ok(());
    };
    diesel::update(audit_chain_head::table)
        .set((
            audit_chain_head::position.eq(head.position),
            audit_chain_head::hash.eq(&head.hash.0[..]),
        ))
        .execute(connection)
        .await?;
    let log_ids: Vec<Uuid> = sealed.iter().map(|(log_id, _)| *log_id).collect();
    let positions: Vec<i64> = sealed.iter().map(|(_, link)| link.position).collect();
    let hashes: Vec<&[u8]> = sealed.iter().map(|(_, link)| &link.hash.0[..]).collect();
    sql_query(
        "UPDATE audit_logs SET position = sealed.position, hash = sealed.hash
         FROM unnest($1, $2, $3) AS sealed (log_id, position, hash)
         WHERE audit_logs.log_id = sealed.log_id",
    )
    .bind::<Array<SqlUuid>, _>(log_ids)
    .bind::<Array<BigInt>, _>(positions)
    .bind::<Array<Binary>, _>(hashes)
    .run(connection)
    .await
}

/// Returns up to `limit` entries of the chain after the entry with this position and id, or from the
/// start. Entries are sorted by position, those that claim the same position by id.
pub async fn sealed_after(
    connection: &mut Connection,
    last: Option<(i64, Uuid)>,
    limit: i64,
) -> Result<Vec<SealedEntry>> {
    let which = match last {
        Some(_) => "(position, log_id) > ($2, $3)",
        None => "position IS NOT NULL AND num_nulls($2, $3) = 2",
    };
    let sql = format!(
        "SELECT log_id, position, hash, {CONTENT} AS content,
                CASE WHEN user_id IS NOT NULL AND user_id IS DISTINCT FROM actor_id
                     THEN 'user_id'
                     WHEN vehicle_id IS NOT NULL AND vehicle_id IS DISTINCT FROM subject_vehicle_id
                     THEN 'vehicle_id'
                     WHEN command_id IS NOT NULL AND command_id IS DISTINCT FROM subject_command_id
                     THEN 'command_id'
                END AS mismatched_reference
         FROM audit_logs WHERE {which} ORDER BY position, log_id LIMIT $1"
    );
    let entries = sql_query(sql)
        .bind::<BigInt, _>(limit)
        .bind::<Nullable<BigInt>, _>(last.map(|(position, _)| position))
        .bind::<Nullable<SqlUuid>, _>(last.map(|(_, log_id)| log_id))
        .load(connection);
    Ok(entries.await?)
}

/// Returns the latest timestamp of the entries up to `position`, or `None` if there are none.
pub async fn latest_timestamp_up_to(
    connection: &mut Connection,
    position: i64,
) -> Result<Option<DateTime<Utc>>> {
    let time = audit_logs::table
        .filter(audit_logs::position.le(position))
        .order(audit_logs::timestamp.desc())
        .select(audit_logs::timestamp)
        .first(connection)
        .await;
    Ok(time.optional()?)
}

/// Returns the number of committed, unsealed entries.
pub async fn count_unsealed(connection: &mut Connection) -> Result<i64> {
    let unsealed = audit_logs::table.filter(audit_logs::position.is_null());
    Ok(unsealed.count().get_result(connection).await?)
}

/// Returns the timestamp of the oldest committed, unsealed entry, if there is one.
pub async fn oldest_unsealed(connection: &mut Connection) -> Result<Option<DateTime<Utc>>> {
    let time = audit_logs::table
        .filter(audit_logs::position.is_null())
        .order((audit_logs::timestamp, audit_logs::log_id))
        .select(audit_logs::timestamp)
        .first(connection)
        .await;
    Ok(time.optional()?)
}

/// Makes the transaction read-only and all its statements see the same snapshot.
///
/// # Errors
///
/// Returns an error unless this is the first statement of the transaction.
pub async fn use_snapshot(connection: &mut Connection) -> Result<()> {
    let sql = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY";
    Ok(connection.batch_execute(sql).await?)
}

/// Converts a row with a position and a hash.
pub(super) fn link_of(
    table: &'static str,
    row: QueryResult<(i64, Vec<u8>)>,
) -> Result<Option<Link>> {
    let Some((position, hash)) = row.optional()? else {
        return Ok(None);
    };
    let hash = ChainHash::try_from(hash.as_slice())
        .map_err(|error| StorageError::corrupt(table, "hash", position, error))?;
    Ok(Some(Link { position, hash }))
}

fn head_of(row: QueryResult<(i64, Vec<u8>)>) -> Result<Option<Link>> {
    link_of("audit_chain_head", row)
}
