use chrono::{DateTime, Utc};
use diesel::{
    prelude::*,
    sql_query,
    sql_types::{BigInt, Bool, Integer, Text, Timestamptz, Uuid as SqlUuid},
};
use diesel_async::RunQueryDsl;
use sovd_domain::CommandId;
use uuid::Uuid;

use super::{Entry, Lease, Task};
use crate::{Connection, StorageError, schema::command_queue};

/// A task that this process may work on until its lease ends.
#[derive(Debug, Clone, Copy)]
pub struct Claim {
    /// The command.
    pub command_id: CommandId,
    /// Proves that the claim is still held; every change asks for it.
    pub lease_id: Uuid,
    /// How far the task had come when it was claimed.
    pub entry: Entry,
}

/// Claims up to `limit` tasks, oldest first, at most one for each vehicle: those that are due and
/// may be sent to a vehicle that is connected, and those that may have been sent, whose end has to
/// be found out. A task whose lease has ended is due again.
///
/// # Errors
///
/// When the database is away or a row is unreadable.
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
             JOIN vehicles USING (vehicle_id)
             WHERE queue.due_at <= $1
               AND (queue.lease_until IS NULL OR queue.lease_until <= $1)
               AND queue.task IN ('command', 'probe')
               AND NOT (queue.is_called_off AND queue.task = 'command')
               AND (queue.sends > 0
                    OR (vehicles.connection_status = 'connected' AND queue.expires_at > $1))
               AND NOT EXISTS (
                   SELECT FROM command_queue earlier
                   WHERE earlier.vehicle_id = queue.vehicle_id
                     AND earlier.position < queue.position)
             ORDER BY queue.position
             LIMIT $3
             FOR UPDATE OF queue SKIP LOCKED)
         UPDATE command_queue
         SET lease_id = gen_random_uuid(), lease_until = $2, is_called_off = false
         FROM free
         WHERE command_queue.command_id = free.command_id
         RETURNING command_queue.command_id, lease_id, lease_until, task, attempt, sends, is_answered,
                   skip_evidence, expires_at",
    )
    .bind::<Timestamptz, _>(now)
    .bind::<Timestamptz, _>(lease_until)
    .bind::<BigInt, _>(limit)
    .load(connection)
    .await?;
    rows.into_iter().map(Claim::try_from).collect()
}

/// Moves the end of a claim's lease; says whether the claim was still held. That of a command which
/// was called off is not.
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

/// Says that nobody here talks to the vehicle any more on behalf of a claim that was called off.
///
/// # Errors
///
/// When the database is away.
pub async fn let_go(connection: &mut Connection, claim: &Claim) -> Result<(), StorageError> {
    let called_off = || {
        command_queue::table
            .find(claim.command_id.0)
            .filter(command_queue::lease_id.eq(claim.lease_id))
            .filter(command_queue::is_called_off.eq(true))
    };
    diesel::delete(called_off().filter(command_queue::task.eq("command")))
        .execute(connection)
        .await?;
    diesel::update(called_off())
        .set((
            command_queue::is_called_off.eq(false),
            command_queue::lease_id.eq(None::<Uuid>),
            command_queue::lease_until.eq(None::<DateTime<Utc>>),
        ))
        .execute(connection)
        .await?;
    Ok(())
}

/// Takes out of the queue what was called off and never let go before its lease ended; says how
/// many.
///
/// # Errors
///
/// When the database is away.
pub async fn remove_forsaken(
    connection: &mut Connection,
    now: DateTime<Utc>,
) -> Result<usize, StorageError> {
    let forsaken = command_queue::table
        .filter(command_queue::is_called_off.eq(true))
        .filter(command_queue::task.eq("command"))
        .filter(command_queue::lease_until.le(now));
    Ok(diesel::delete(forsaken).execute(connection).await?)
}

#[diesel::dsl::auto_type(no_type_alias)]
fn held<'a>(claim: &'a Claim) -> _ {
    let command_id: Uuid = claim.command_id.0;
    let lease_id: Uuid = claim.lease_id;
    command_queue::table
        .filter(command_queue::command_id.eq(command_id))
        .filter(command_queue::lease_id.eq(lease_id))
        .filter(command_queue::is_called_off.eq(false))
}

#[derive(QueryableByName)]
struct ClaimRow {
    #[diesel(sql_type = SqlUuid)]
    command_id: Uuid,
    #[diesel(sql_type = SqlUuid)]
    lease_id: Uuid,
    #[diesel(sql_type = Timestamptz)]
    lease_until: DateTime<Utc>,
    #[diesel(sql_type = Text)]
    task: String,
    #[diesel(sql_type = Integer)]
    attempt: i32,
    #[diesel(sql_type = Integer)]
    sends: i32,
    #[diesel(sql_type = Bool)]
    is_answered: bool,
    #[diesel(sql_type = Bool)]
    skip_evidence: bool,
    #[diesel(sql_type = Timestamptz)]
    expires_at: DateTime<Utc>,
}

impl TryFrom<ClaimRow> for Claim {
    type Error = StorageError;

    fn try_from(row: ClaimRow) -> Result<Self, StorageError> {
        Ok(Self {
            command_id: CommandId(row.command_id),
            lease_id: row.lease_id,
            entry: Entry {
                task: Task::read(&row.task, row.command_id)?,
                attempt: row.attempt,
                sends: row.sends,
                is_answered: row.is_answered,
                skip_evidence: row.skip_evidence,
                expires_at: row.expires_at,
                lease: Some(Lease {
                    id: row.lease_id,
                    until: row.lease_until,
                }),
                is_called_off: false,
            },
        })
    }
}
