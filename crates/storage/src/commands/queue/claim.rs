use chrono::{DateTime, Utc};
use diesel::{
    prelude::*,
    sql_types::{Array, BigInt, Bool, Integer, Text, Timestamptz, Uuid as SqlUuid},
};
use diesel_async::RunQueryDsl;
use sovd_domain::{Command, CommandId, CommandStatus, Vehicle};
use uuid::Uuid;

use super::{super::CommandRow, Entry, Lease, Task};
use crate::{
    Connection, Result, StorageError, fleet::vehicles::VehicleRow, prepared::prepared,
    schema::command_queue, statement::Statement,
};

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

/// A claim with everything an attempt needs.
#[derive(Debug, Clone)]
pub struct Claimed {
    /// The claim.
    pub claim: Claim,
    /// The command.
    pub command: Command,
    /// Its vehicle.
    pub vehicle: Vehicle,
    /// The number of the last stored chunk of its response, or 0.
    pub last_number: i32,
    /// Whether the claim has also recorded that the command may have reached the vehicle. The entry has
    /// the `send_count` before the claim.
    pub is_marked_sent: bool,
    /// Whether the claim has moved the command from `pending` to `in_progress`.
    pub is_started: bool,
}

/// The statement of [`claim`], public so that a test can examine its plan. Its parameters are the
/// current time, the names in `direct`, the limit, the expiry of the leases, and the current time again.
///
/// Its cost depends on the number of claimable entries, not on the length of the queues: `queue_heads`
/// has one row per vehicle with a queue, and its index contains only heads that can be claimed, now or
/// later, in the order in which they become ready.
///
/// Positions of a vehicle only grow, so an entry that is the head stays the head until it is deleted. A
/// head in this statement's snapshot is therefore still the head once its row in `command_queue` is
/// locked, and its columns are checked again on that row. The statement waits for neither lock.
///
/// The `LATERAL` subqueries with a `LIMIT` and `= ANY (ARRAY (...))` make PostgreSQL fetch the rows of the
/// large tables one by one by primary key, regardless of the table statistics. A command is updated at its
/// `ctid`, which is stable while the entry is locked.
#[doc(hidden)]
pub const CLAIM: &str = "
    WITH free AS (
        SELECT queue.command_id, queue.is_direct
        FROM queue_heads head
        CROSS JOIN (SELECT {}::timestamptz AS now, {}::text[] AS direct) parameters
        CROSS JOIN LATERAL (
            SELECT command_id,
                   task = 'command' AND send_count = 0
                   AND (SELECT command_name FROM commands
                        WHERE commands.command_id = command_queue.command_id) = ANY (direct) AS is_direct
            FROM command_queue
            WHERE command_id = head.command_id
              AND ready_at <= now
              AND task IN ('command', 'probe')
              AND (send_count > 0 OR (head.is_reachable AND expires_at > now))
            LIMIT 1
            FOR UPDATE SKIP LOCKED) queue
        WHERE head.ready_at <= now
          AND (head.is_reachable OR head.is_sent)
        ORDER BY head.ready_at, head.position
        LIMIT {}
        FOR NO KEY UPDATE OF head SKIP LOCKED),
    claimed AS (
        UPDATE command_queue
        SET lease_id = gen_random_uuid(), lease_expires_at = {}, is_cancelled = false,
            send_count = send_count
                + (command_id = ANY (ARRAY (SELECT command_id FROM free WHERE is_direct)))::int
        WHERE command_id = ANY (ARRAY (SELECT command_id FROM free))
        RETURNING command_id, position, lease_id, lease_expires_at, task, attempt, send_count, is_answered,
                  skip_evidence, expires_at AS entry_expires_at,
                  command_id = ANY (ARRAY (SELECT command_id FROM free WHERE is_direct)) AS is_direct),
    started AS (
        UPDATE commands SET status = 'in_progress', started_at = {}
        WHERE ctid = ANY (ARRAY (
            SELECT command.ctid
            FROM free
            CROSS JOIN LATERAL (
                SELECT ctid, status FROM commands
                WHERE commands.command_id = free.command_id LIMIT 1) command
            WHERE free.is_direct AND command.status = 'pending')))
    SELECT claimed.*, command.user_id, command.command_name, command.command_params, command.status,
           command.failure_kind, command.error_message, command.submitted_at, command.started_at,
           command.completed_at, command.expires_at, command.finding, command.vehicle_id, vehicle.vin,
           vehicle.make, vehicle.model, vehicle.year, vehicle.connection_status, vehicle.last_seen_at,
           vehicle.metadata, vehicle.created_at, vehicle.owner_id, vehicle.vehicle_type,
           coalesce((SELECT max(sequence_number) FROM responses
                     WHERE responses.command_id = claimed.command_id), 0) AS last_number
    FROM claimed
    CROSS JOIN LATERAL (
        SELECT * FROM commands WHERE command_id = claimed.command_id LIMIT 1) command
    CROSS JOIN LATERAL (
        SELECT * FROM vehicles WHERE vehicle_id = command.vehicle_id LIMIT 1) vehicle";

/// Claims up to `limit` tasks, at most one per vehicle: tasks that are due for a connected vehicle, and
/// tasks that may have been sent and whose outcome must be determined. A task whose lease has expired
/// is due again. Tasks that became ready first are preferred; the claims are returned in the order of
/// submission. A task that cannot be read is claimed and omitted.
///
/// A command whose name is in `direct` and that was never sent is also moved to `in_progress` and marked as
/// sent, so that it can be sent without another statement.
pub async fn claim(
    connection: &mut Connection,
    direct: &[&str],
    now: DateTime<Utc>,
    lease_expires_at: DateTime<Utc>,
    limit: i64,
) -> Result<Vec<Claimed>> {
    let mut rows: Vec<ClaimedRow> = prepared!(
        CLAIM,
        Timestamptz = now,
        Array<Text> = direct,
        BigInt = limit,
        Timestamptz = lease_expires_at,
        Timestamptz = now,
    )
    .load(connection)
    .await?;
    rows.sort_unstable_by_key(|row| row.entry.position);
    // An unreadable row must not keep the others from being processed.
    let readable = rows.into_iter().filter_map(|row| {
        let claimed = row.into_claimed(now);
        claimed
            .inspect_err(|error| tracing::error!(%error, "claimed a task that cannot be read"))
            .ok()
    });
    Ok(readable.collect())
}

/// Extends the lease of a claim and returns whether the claim was still held. The claim of a cancelled
/// command is not.
pub async fn renew(
    connection: &mut Connection,
    claim: &Claim,
    lease_expires_at: DateTime<Utc>,
) -> Result<bool> {
    let renewed = diesel::update(held(claim))
        .set(command_queue::lease_expires_at.eq(lease_expires_at))
        .execute(connection)
        .await?;
    Ok(renewed == 1)
}

/// Locks the claim until the transaction ends and returns whether it is still held.
pub async fn hold(connection: &mut Connection, claim: &Claim) -> Result<bool> {
    let row: Option<Uuid> = held(claim)
        .select(command_queue::command_id)
        .for_update()
        .first(connection)
        .await
        .optional()?;
    Ok(row.is_some())
}

/// Releases a claim, so that another process need not wait for the lease to expire.
pub async fn release(connection: &mut Connection, claim: &Claim) -> Result<()> {
    diesel::update(held(claim))
        .set((
            command_queue::lease_id.eq(None::<Uuid>),
            command_queue::lease_expires_at.eq(None::<DateTime<Utc>>),
        ))
        .execute(connection)
        .await?;
    Ok(())
}

/// Releases a claim whose task was certainly not sent since, and takes back what the claim recorded.
pub async fn release_unsent(connection: &mut Connection, claimed: &Claimed) -> Result<()> {
    let claim = &claimed.claim;
    prepared!(
        "WITH released AS (
             UPDATE command_queue SET send_count = {}, lease_id = NULL, lease_expires_at = NULL
             WHERE command_id = {} AND lease_id = {} AND NOT is_cancelled
             RETURNING command_id)
         UPDATE commands SET status = 'pending', started_at = NULL
         FROM released
         WHERE commands.command_id = released.command_id AND status = 'in_progress' AND {}",
        Integer = claim.entry.send_count,
        SqlUuid = claim.command_id.0,
        SqlUuid = claim.lease_id,
        Bool = claimed.is_started,
    )
    .run(connection)
    .await
}

/// Releases the vehicle of a cancelled command, once this process has stopped communicating with it.
pub async fn release_vehicle(connection: &mut Connection, claim: &Claim) -> Result<()> {
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
) -> Result<usize> {
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
struct ClaimedRow {
    #[diesel(embed)]
    entry: ClaimRow,
    #[diesel(embed)]
    command: CommandRow,
    #[diesel(embed)]
    vehicle: VehicleRow,
    #[diesel(sql_type = Integer)]
    last_number: i32,
    #[diesel(sql_type = Bool)]
    is_direct: bool,
}

impl ClaimedRow {
    /// Converts the row of a claim at `now`. The command is as it was before the claim.
    fn into_claimed(self, now: DateTime<Utc>) -> Result<Claimed> {
        let mut command = Command::try_from(self.command)?;
        let mut claim = Claim::try_from(self.entry)?;
        let is_started = self.is_direct && command.status == CommandStatus::Pending;
        if self.is_direct {
            claim.entry.send_count -= 1;
            command.status = CommandStatus::InProgress;
            command.started_at.get_or_insert(now);
        }
        Ok(Claimed {
            claim,
            command,
            vehicle: self.vehicle.try_into()?,
            last_number: self.last_number,
            is_marked_sent: self.is_direct,
            is_started,
        })
    }
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
    entry_expires_at: DateTime<Utc>,
}

impl TryFrom<ClaimRow> for Claim {
    type Error = StorageError;

    fn try_from(row: ClaimRow) -> Result<Self> {
        Ok(Self {
            command_id: CommandId(row.command_id),
            lease_id: row.lease_id,
            entry: Entry {
                task: Task::read(&row.task, row.command_id)?,
                attempt: row.attempt,
                send_count: row.send_count,
                is_answered: row.is_answered,
                skip_evidence: row.skip_evidence,
                expires_at: row.entry_expires_at,
                lease: Some(Lease {
                    id: row.lease_id,
                    until: row.lease_expires_at,
                }),
                is_cancelled: false,
            },
        })
    }
}
