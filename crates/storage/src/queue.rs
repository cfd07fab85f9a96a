//! The queue of commands that have not ended.
//!
//! A vehicle is served only its lowest position. Positions are drawn while the vehicle's row is
//! locked (see [`crate::vehicles::lock`]), so their order is the order of the commits, and a
//! command can never slip in before one that is already under way.

use chrono::{DateTime, Utc};
use diesel::{
    prelude::*,
    sql_query,
    sql_types::{BigInt, Integer, Timestamptz, Uuid as SqlUuid},
};
use diesel_async::RunQueryDsl;
use sovd_domain::{CommandId, VehicleId};
use uuid::Uuid;

use crate::{Connection, StorageError, schema::command_queue};

/// A command that this process may work on until its lease ends.
#[derive(Debug, Clone, Copy)]
pub struct Claim {
    /// The command.
    pub command_id: CommandId,
    /// Proves that the claim is still held; every change of the command asks for it.
    pub lease_id: Uuid,
    /// 1 for the first claim of the command.
    pub attempt: i32,
}

/// Puts a command at the end of its vehicle's queue.
///
/// # Errors
///
/// When the database is away.
pub async fn push(
    connection: &mut Connection,
    command_id: CommandId,
    vehicle_id: VehicleId,
    due_at: DateTime<Utc>,
) -> Result<(), StorageError> {
    diesel::insert_into(command_queue::table)
        .values((
            command_queue::command_id.eq(command_id.0),
            command_queue::vehicle_id.eq(vehicle_id.0),
            command_queue::due_at.eq(due_at),
        ))
        .execute(connection)
        .await?;
    Ok(())
}

/// Claims up to `limit` commands, oldest first, at most one for each vehicle: those that are due,
/// have not expired and can reach their vehicle, and those whose last holder went away.
///
/// # Errors
///
/// When the database is away.
pub async fn claim(
    connection: &mut Connection,
    now: DateTime<Utc>,
    lease_until: DateTime<Utc>,
    limit: i64,
) -> Result<Vec<Claim>, StorageError> {
    let rows: Vec<ClaimRow> = sql_query(
        "WITH free AS (
             SELECT queue.command_id
             FROM command_queue queue
             JOIN commands USING (command_id)
             JOIN vehicles ON vehicles.vehicle_id = queue.vehicle_id
             WHERE queue.due_at <= $1
               AND (queue.lease_until IS NULL OR queue.lease_until <= $1)
               AND (commands.status = 'in_progress'
                    OR (vehicles.connection_status = 'connected' AND commands.expires_at > $1))
               AND NOT EXISTS (
                   SELECT FROM command_queue earlier
                   WHERE earlier.vehicle_id = queue.vehicle_id
                     AND earlier.position < queue.position)
             ORDER BY queue.position
             LIMIT $3
             FOR UPDATE OF queue SKIP LOCKED)
         UPDATE command_queue
         SET lease_id = gen_random_uuid(), lease_until = $2, attempt = attempt + 1
         FROM free
         WHERE command_queue.command_id = free.command_id
         RETURNING command_queue.command_id, lease_id, attempt",
    )
    .bind::<Timestamptz, _>(now)
    .bind::<Timestamptz, _>(lease_until)
    .bind::<BigInt, _>(limit)
    .load(connection)
    .await?;
    Ok(rows.into_iter().map(Claim::from).collect())
}

/// Moves the end of a claim's lease; says whether the claim was still held.
///
/// # Errors
///
/// When the database is away.
pub async fn renew(
    connection: &mut Connection,
    claim: &Claim,
    lease_until: DateTime<Utc>,
) -> Result<bool, StorageError> {
    let renewed = diesel::update(held(claim))
        .set(command_queue::lease_until.eq(lease_until))
        .execute(connection)
        .await?;
    Ok(renewed == 1)
}

/// Makes sure that the claim is still held and stays so until the transaction ends.
///
/// # Errors
///
/// When the database is away.
pub async fn hold(connection: &mut Connection, claim: &Claim) -> Result<bool, StorageError> {
    let row: Option<Uuid> = held(claim)
        .select(command_queue::command_id)
        .for_update()
        .first(connection)
        .await
        .optional()?;
    Ok(row.is_some())
}

/// Takes a command that has ended out of the queue; says whether the claim was still held.
///
/// # Errors
///
/// When the database is away.
pub async fn remove(connection: &mut Connection, claim: &Claim) -> Result<bool, StorageError> {
    Ok(diesel::delete(held(claim)).execute(connection).await? == 1)
}

/// Gives a claim back, so that another process need not wait for its lease to end.
///
/// # Errors
///
/// When the database is away.
pub async fn release(connection: &mut Connection, claim: &Claim) -> Result<(), StorageError> {
    diesel::update(held(claim))
        .set((
            command_queue::lease_id.eq(None::<Uuid>),
            command_queue::lease_until.eq(None::<DateTime<Utc>>),
        ))
        .execute(connection)
        .await?;
    Ok(())
}

/// Takes the commands out of the queue that expired before they were sent.
///
/// # Errors
///
/// When the database is away.
pub async fn remove_expired(
    connection: &mut Connection,
    now: DateTime<Utc>,
) -> Result<Vec<CommandId>, StorageError> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = SqlUuid)]
        command_id: Uuid,
    }
    let rows: Vec<Row> = sql_query(
        "DELETE FROM command_queue queue USING commands
         WHERE commands.command_id = queue.command_id
           AND commands.status = 'pending'
           AND commands.expires_at <= $1
           AND (queue.lease_until IS NULL OR queue.lease_until <= $1)
         RETURNING queue.command_id",
    )
    .bind::<Timestamptz, _>(now)
    .load(connection)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| CommandId(row.command_id))
        .collect())
}

#[diesel::dsl::auto_type(no_type_alias)]
fn held<'a>(claim: &'a Claim) -> _ {
    let command_id: Uuid = claim.command_id.0;
    let lease_id: Uuid = claim.lease_id;
    command_queue::table
        .filter(command_queue::command_id.eq(command_id))
        .filter(command_queue::lease_id.eq(lease_id))
}

#[derive(QueryableByName)]
struct ClaimRow {
    #[diesel(sql_type = SqlUuid)]
    command_id: Uuid,
    #[diesel(sql_type = SqlUuid)]
    lease_id: Uuid,
    #[diesel(sql_type = Integer)]
    attempt: i32,
}

impl From<ClaimRow> for Claim {
    fn from(row: ClaimRow) -> Self {
        Self {
            command_id: CommandId(row.command_id),
            lease_id: row.lease_id,
            attempt: row.attempt,
        }
    }
}
