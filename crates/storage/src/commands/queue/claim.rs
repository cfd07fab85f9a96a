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

/// A task that this process may work on until the lease expires.
#[derive(Debug, Clone, Copy)]
pub struct Claim {
    /// The command.
    pub command_id: CommandId,
    /// Identifies the lease; every change by the holder is conditional on it.
    pub lease_id: Uuid,
    /// The entry at the time of the claim.
    pub entry: Entry,
}

/// The statement of [`claim`], public so that a test can examine its plan. Its parameters are the
/// current time, the expiry of the leases and the limit.
///
/// Its cost depends on the number of claimable entries, not on the length of the queues: `queue_heads`
/// has one row per vehicle with a queue, and its index contains only heads that can be claimed, now or
/// later, in the order in which they become ready.
///
/// Positions of a vehicle only grow, so an entry that is the head stays the head until it is deleted. A
/// head in this statement's snapshot is therefore still the head once its row in `command_queue` is
/// locked, and its columns are checked again on that row. The statement waits for neither lock.
///
/// The `LATERAL` subquery with a `LIMIT` and `= ANY (ARRAY (...))` make PostgreSQL fetch the rows of
/// `command_queue` one by one by primary key, regardless of the table statistics.
#[doc(hidden)]
pub const CLAIM: &str = "
    WITH free AS (
        SELECT queue.command_id
        FROM queue_heads head
        CROSS JOIN LATERAL (
            SELECT command_id
            FROM command_queue
            WHERE command_id = head.command_id
              AND ready_at <= $1
              AND task IN ('command', 'probe')
              AND (send_count > 0 OR (head.is_reachable AND expires_at > $1))
            LIMIT 1
            FOR UPDATE SKIP LOCKED) queue
        WHERE head.ready_at <= $1
          AND (head.is_reachable OR head.is_sent)
        ORDER BY head.ready_at, head.position
        LIMIT $3
        FOR NO KEY UPDATE OF head SKIP LOCKED)
    UPDATE command_queue
    SET lease_id = gen_random_uuid(), lease_expires_at = $2, is_cancelled = false
    WHERE command_id = ANY (ARRAY (SELECT command_id FROM free))
    RETURNING command_id, position, lease_id, lease_expires_at, task, attempt, send_count, is_answered,
              skip_evidence, expires_at";

/// Claims up to `limit` tasks, at most one per vehicle: tasks that are due for a connected vehicle, and
/// tasks that may have been sent and whose outcome must be determined. A task whose lease has expired
/// is due again. Tasks that became ready first are preferred; the claims are returned in the order of
/// submission.
pub async fn claim(
    connection: &mut Connection,
    now: DateTime<Utc>,
    lease_expires_at: DateTime<Utc>,
    limit: i64,
) -> Result<Vec<Claim>, StorageError> {
    let mut rows: Vec<ClaimRow> = sql_query(CLAIM)
        .bind::<Timestamptz, _>(now)
        .bind::<Timestamptz, _>(lease_expires_at)
        .bind::<BigInt, _>(limit)
        .load(connection)
        .await?;
    rows.sort_unstable_by_key(|row| row.position);
    rows.into_iter().map(Claim::try_from).collect()
}

/// Extends the lease of a claim and returns whether the claim was still held. The claim of a cancelled
/// command is not.
pub async fn renew(
    connection: &mut Connection,
    claim: &Claim,
    lease_expires_at: DateTime<Utc>,
) -> Result<bool, StorageError> {
    let renewed = diesel::update(held(claim))
        .set(command_queue::lease_expires_at.eq(lease_expires_at))
        .execute(connection)
        .await?;
    Ok(renewed == 1)
}

/// Locks the claim until the transaction ends and returns whether it is still held.
pub async fn hold(connection: &mut Connection, claim: &Claim) -> Result<bool, StorageError> {
    let row: Option<Uuid> = held(claim)
        .select(command_queue::command_id)
        .for_update()
        .first(connection)
        .await
        .optional()?;
    Ok(row.is_some())
}

/// Releases a claim, so that another process need not wait for the lease to expire.
pub async fn release(connection: &mut Connection, claim: &Claim) -> Result<(), StorageError> {
    diesel::update(held(claim))
        .set((
            command_queue::lease_id.eq(None::<Uuid>),
            command_queue::lease_expires_at.eq(None::<DateTime<Utc>>),
        ))
        .execute(connection)
        .await?;
    Ok(())
}

/// Releases the vehicle of a cancelled command, once this process has stopped communicating with it.
pub async fn release_vehicle(
    connection: &mut Connection,
    claim: &Claim,
) -> Result<(), StorageError> {
    let cancelled = || {
        command_queue::table
            .find(claim.command_id.0)
            .filter(command_queue::lease_id.eq(claim.lease_id))
            .filter(command_queue::is_cancelled.eq(true))
    };
    diesel::delete(cancelled().filter(command_queue::task.eq("command")))
        .execute(connection)
        .await?;
    diesel::update(cancelled())
        .set((
            command_queue::is_cancelled.eq(false),
            command_queue::lease_id.eq(None::<Uuid>),
            command_queue::lease_expires_at.eq(None::<DateTime<Utc>>),
        ))
        .execute(connection)
        .await?;
    Ok(())
}

/// Removes up to `limit` cancelled commands whose lease expired before the holder released the vehicle, and
/// returns their number. Each is removed in a separate transaction, so that none locks the heads of
/// several queues.
pub async fn remove_abandoned(
    connection: &mut Connection,
    now: DateTime<Utc>,
    limit: i64,
) -> Result<usize, StorageError> {
    let abandoned = || {
        command_queue::table
            .filter(command_queue::is_cancelled)
            .filter(command_queue::task.eq("command"))
            .filter(command_queue::lease_expires_at.le(now))
    };
    let found: Vec<Uuid> = abandoned()
        .select(command_queue::command_id)
        .limit(limit)
        .load(connection)
        .await?;
    let mut removed = 0;
    for command_id in found {
        let one = abandoned().filter(command_queue::command_id.eq(command_id));
        removed += diesel::delete(one).execute(connection).await?;
    }
    Ok(removed)
}

#[diesel::dsl::auto_type(no_type_alias)]
fn held<'a>(claim: &'a Claim) -> _ {
    let command_id: Uuid = claim.command_id.0;
    let lease_id: Uuid = claim.lease_id;
    command_queue::table
        .filter(command_queue::command_id.eq(command_id))
        .filter(command_queue::lease_id.eq(lease_id))
        .filter(command_queue::is_cancelled.eq(false))
}

#[derive(QueryableByName)]
struct ClaimRow {
    #[diesel(sql_type = SqlUuid)]
    command_id: Uuid,
    #[diesel(sql_type = BigInt)]
    position: i64,
    #[diesel(sql_type = SqlUuid)]
    lease_id: Uuid,
    #[diesel(sql_type = Timestamptz)]
    lease_expires_at: DateTime<Utc>,
    #[diesel(sql_type = Text)]
    task: String,
    #[diesel(sql_type = Integer)]
    attempt: i32,
    #[diesel(sql_type = Integer)]
    send_count: i32,
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
                send_count: row.send_count,
                is_answered: row.is_answered,
                skip_evidence: row.skip_evidence,
                expires_at: row.expires_at,
                lease: Some(Lease {
                    id: row.lease_id,
                    until: row.lease_expires_at,
                }),
                is_cancelled: false,
            },
        })
    }
}
