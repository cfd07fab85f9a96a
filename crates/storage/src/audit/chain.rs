//! The chain that the lines of the audit trail form once they are sealed. What is hashed, and what
//! the hashes mean, is the caller's business.

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
    Connection, StorageError,
    schema::{audit_chain_head, audit_logs},
};

/// Everything in a line but the references, which may go, as one text that is the same wherever and
/// whenever it is made. The word in front names this form: another one needs another word.
const CONTENT: &str = "jsonb_build_array(
    'sovd-audit-1', log_id, actor_id, subject_vehicle_id, subject_command_id, action, entity_type,
    entity_id, details::text, ip_address, user_agent,
    (extract(epoch FROM audit_logs.timestamp) * 1000000)::bigint, result, request_id)::text";

/// A line without a place in the chain.
#[derive(Debug, Clone, PartialEq, Eq, QueryableByName)]
pub struct UnsealedLine {
    /// Identifies the line.
    #[diesel(sql_type = SqlUuid)]
    pub log_id: Uuid,
    /// What its hash is to stand for.
    #[diesel(sql_type = Text)]
    pub content: String,
}

/// A line that says that it has a place in the chain.
#[derive(Debug, Clone, PartialEq, Eq, QueryableByName)]
pub struct SealedLine {
    /// Identifies the line.
    #[diesel(sql_type = SqlUuid)]
    pub log_id: Uuid,
    /// Its place.
    #[diesel(sql_type = BigInt)]
    pub position: i64,
    /// Whatever stands for its hash.
    #[diesel(sql_type = Nullable<Binary>)]
    pub hash: Option<Vec<u8>>,
    /// What the hash should stand for.
    #[diesel(sql_type = Text)]
    pub content: String,
    /// A reference that is neither gone nor what it was: `user_id`, `vehicle_id` or `command_id`.
    #[diesel(sql_type = Nullable<Text>)]
    pub strayed: Option<String>,
}

/// The end of the chain, which nobody else can move until the transaction ends. Nothing when
/// somebody is about to move it.
///
/// # Errors
///
/// When the database is away or the row is unreadable.
pub async fn claim_head(connection: &mut Connection) -> Result<Option<Link>, StorageError> {
    let row = audit_chain_head::table
        .select((audit_chain_head::position, audit_chain_head::hash))
        .for_update()
        .skip_locked()
        .first(connection)
        .await;
    head_of(row)
}

/// The same, and waits for whoever is about to move it. Nothing when there is no such row.
///
/// # Errors
///
/// When the database is away or the row is unreadable.
pub async fn lock_head(connection: &mut Connection) -> Result<Option<Link>, StorageError> {
    let row = audit_chain_head::table
        .select((audit_chain_head::position, audit_chain_head::hash))
        .for_update()
        .first(connection)
        .await;
    head_of(row)
}

/// The end of the chain. Nothing when there is no such row.
///
/// # Errors
///
/// When the database is away or the row is unreadable.
pub async fn head(connection: &mut Connection) -> Result<Option<Link>, StorageError> {
    let row = audit_chain_head::table
        .select((audit_chain_head::position, audit_chain_head::hash))
        .first(connection)
        .await;
    head_of(row)
}

/// At most `limit` committed lines that are not sealed, oldest first, which nobody else can change
/// until the transaction ends. Those that somebody is changing are left out, so that whoever deletes
/// a user and whoever seals never wait for each other.
///
/// # Errors
///
/// When the database is away.
pub async fn lock_unsealed(
    connection: &mut Connection,
    limit: i64,
) -> Result<Vec<UnsealedLine>, StorageError> {
    let sql = format!(
        "SELECT log_id, {CONTENT} AS content FROM audit_logs WHERE position IS NULL
         ORDER BY audit_logs.timestamp, log_id LIMIT $1 FOR NO KEY UPDATE SKIP LOCKED"
    );
    let lines = sql_query(sql).bind::<BigInt, _>(limit).load(connection);
    Ok(lines.await?)
}

/// Moves the end of the chain to the last of the lines, and gives all of them, which are locked,
/// their places. Call it in a transaction: the database wants to see both together.
///
/// # Errors
///
/// When the database is away or refuses: a place is taken, or does not follow the end of the chain.
pub async fn seal(
    connection: &mut Connection,
    sealed: &[(Uuid, Link)],
) -> Result<(), StorageError> {
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
    .execute(connection)
    .await?;
    Ok(())
}

/// At most `limit` lines of the chain in order, those after the line at this place with this id, or
/// the first ones. Two lines that say that they have the same place come by their ids.
///
/// # Errors
///
/// When the database is away.
pub async fn sealed_after(
    connection: &mut Connection,
    last: Option<(i64, Uuid)>,
    limit: i64,
) -> Result<Vec<SealedLine>, StorageError> {
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
                END AS strayed
         FROM audit_logs WHERE {which} ORDER BY position, log_id LIMIT $1"
    );
    let lines = sql_query(sql)
        .bind::<BigInt, _>(limit)
        .bind::<Nullable<BigInt>, _>(last.map(|(position, _)| position))
        .bind::<Nullable<SqlUuid>, _>(last.map(|(_, log_id)| log_id))
        .load(connection);
    Ok(lines.await?)
}

/// Returns the latest time of the lines up to `position`, or `None` if there are none.
///
/// # Errors
///
/// When the database is unavailable.
pub async fn newest_time_to(
    connection: &mut Connection,
    position: i64,
) -> Result<Option<DateTime<Utc>>, StorageError> {
    let time = audit_logs::table
        .filter(audit_logs::position.le(position))
        .order(audit_logs::timestamp.desc())
        .select(audit_logs::timestamp)
        .first(connection)
        .await;
    Ok(time.optional()?)
}

/// How many committed lines are not sealed.
///
/// # Errors
///
/// When the database is away.
pub async fn count_unsealed(connection: &mut Connection) -> Result<i64, StorageError> {
    let unsealed = audit_logs::table.filter(audit_logs::position.is_null());
    Ok(unsealed.count().get_result(connection).await?)
}

/// When the oldest committed line was written that is not sealed; nothing when all are.
///
/// # Errors
///
/// When the database is away.
pub async fn oldest_unsealed(
    connection: &mut Connection,
) -> Result<Option<DateTime<Utc>>, StorageError> {
    let time = audit_logs::table
        .filter(audit_logs::position.is_null())
        .order((audit_logs::timestamp, audit_logs::log_id))
        .select(audit_logs::timestamp)
        .first(connection)
        .await;
    Ok(time.optional()?)
}

/// Lets all that follows in the transaction see the database as it is at one moment, and change
/// nothing. Call it first.
///
/// # Errors
///
/// When the database is away, or something was asked in the transaction before.
pub async fn hold_still(connection: &mut Connection) -> Result<(), StorageError> {
    let sql = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY";
    Ok(connection.batch_execute(sql).await?)
}

/// A row with a position and a hash, if there is one.
pub(super) fn link_of(
    table: &'static str,
    row: QueryResult<(i64, Vec<u8>)>,
) -> Result<Option<Link>, StorageError> {
    let Some((position, hash)) = row.optional()? else {
        return Ok(None);
    };
    let hash = ChainHash::try_from(hash.as_slice())
        .map_err(|error| StorageError::corrupt(table, "hash", position, error))?;
    Ok(Some(Link { position, hash }))
}

fn head_of(row: QueryResult<(i64, Vec<u8>)>) -> Result<Option<Link>, StorageError> {
    link_of("audit_chain_head", row)
}
