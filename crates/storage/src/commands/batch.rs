//! Statements that change many commands at once.
//!
//! A batch never waits for a command, a vehicle or a session that another transaction has locked: the
//! functions that lock skip those, and the caller writes them one by one.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use diesel::{
    prelude::*,
    sql_types::{Array, Bool, Bytea, Integer, Jsonb, Text, Timestamptz, Uuid as SqlUuid},
};
use diesel_async::RunQueryDsl;
use serde_json::Value;
use sovd_domain::{AuditEntry, Command, CommandId, Response, UserId, VehicleId};
use uuid::Uuid;

use super::{CommandRow, idempotency::KeyedRequest, queue::Claim};
use crate::{Connection, Result, audit, prepared::prepared, statement::Statement};

/// An accepted command to insert.
#[derive(Debug, Clone, Copy)]
pub struct NewCommand<'a> {
    /// The command.
    pub command: &'a Command,
    /// Whether it is sent without reading the faults first.
    pub skip_evidence: bool,
    /// The entry that audits its submission.
    pub audit_entry: &'a AuditEntry,
}

/// Inserts commands, their queue entries and their audit entries. Commands of one vehicle are queued in the
/// order of `new`, which must be sorted by vehicle id, the order in which the heads of queues are locked.
///
/// # Errors
///
/// Returns [`StorageError::Dangling`](crate::StorageError::Dangling), and inserts nothing, if a user or a vehicle does not exist.
pub async fn insert(
    connection: &mut Connection,
    new: &[NewCommand<'_>],
    now: DateTime<Utc>,
) -> Result<()> {
    if new.is_empty() {
        return Ok(());
    }
    let commands = || new.iter().map(|new| new.command);
    prepared!(
        "WITH new AS (
             SELECT * FROM unnest({}, {}, {}, {}, {}, {}, {}, {}) WITH ORDINALITY AS new
                 (command_id, user_id, vehicle_id, command_name, command_params, submitted_at,
                  expires_at, skip_evidence, number)),
         inserted AS (
             INSERT INTO commands (command_id, user_id, vehicle_id, command_name, command_params, status,
                                   submitted_at, expires_at)
             SELECT command_id, user_id, vehicle_id, command_name, command_params, 'pending',
                    submitted_at, expires_at
             FROM new)
         INSERT INTO command_queue (command_id, user_id, vehicle_id, due_at, expires_at, skip_evidence)
         SELECT command_id, user_id, vehicle_id, submitted_at, expires_at, skip_evidence
         FROM new ORDER BY number",
        Array<SqlUuid> = commands().map(|it| it.command_id.0).collect::<Vec<_>>(),
        Array<SqlUuid> = commands().map(|it| it.user_id.0).collect::<Vec<_>>(),
        Array<SqlUuid> = commands().map(|it| it.vehicle_id.0).collect::<Vec<_>>(),
        Array<Text> = commands().map(|it| it.command_name.as_str()).collect::<Vec<_>>(),
        Array<Jsonb> = commands().map(|it| &it.command_params).collect::<Vec<_>>(),
        Array<Timestamptz> = commands().map(|it| it.submitted_at).collect::<Vec<_>>(),
        Array<Timestamptz> = commands().map(|it| it.expires_at).collect::<Vec<_>>(),
        Array<Bool> = new.iter().map(|new| new.skip_evidence).collect::<Vec<_>>(),
    )
    .run(connection)
    .await?;
    let entries = new.iter().map(|new| new.audit_entry);
    audit::insert_all(connection, entries, now).await
}

/// A user and one of their idempotency keys.
pub type Key = (UserId, String);

/// Returns which of the keys are known, whatever their age.
pub async fn known_keys(
    connection: &mut Connection,
    requests: &[KeyedRequest<'_>],
) -> Result<HashSet<Key>> {
    if requests.is_empty() {
        return Ok(HashSet::new());
    }
    let rows: Vec<KeyRow> = prepared!(
        "SELECT known.user_id, known.key
         FROM unnest({}, {}) AS request (user_id, key)
         JOIN idempotency_keys known USING (user_id, key)",
        Array<SqlUuid> = requests.iter().map(|it| it.user_id.0).collect::<Vec<_>>(),
        Array<Text> = requests.iter().map(|it| it.key.as_str()).collect::<Vec<_>>(),
    )
    .load(connection)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| (UserId(row.user_id), row.key))
        .collect())
}

/// Associates each key with the command, which may be inserted later in the same transaction, and returns
/// the keys for which it did. The others are known already.
pub async fn remember_keys(
    connection: &mut Connection,
    requests: &[(KeyedRequest<'_>, CommandId)],
    now: DateTime<Utc>,
) -> Result<HashSet<Key>> {
    if requests.is_empty() {
        return Ok(HashSet::new());
    }
    let keyed = || requests.iter().map(|(request, _)| request);
    let rows: Vec<KeyRow> = prepared!(
        "INSERT INTO idempotency_keys (user_id, key, fingerprint, command_id, created_at)
         SELECT user_id, key, fingerprint, command_id, {}
         FROM unnest({}, {}, {}, {}) AS request (user_id, key, fingerprint, command_id)
         ORDER BY user_id, key
         ON CONFLICT DO NOTHING
         RETURNING user_id, key",
        Timestamptz = now,
        Array<SqlUuid> = keyed().map(|it| it.user_id.0).collect::<Vec<_>>(),
        Array<Text> = keyed().map(|it| it.key.as_str()).collect::<Vec<_>>(),
        Array<Bytea> = keyed().map(|it| it.fingerprint).collect::<Vec<_>>(),
        Array<SqlUuid> = requests.iter().map(|(_, id)| id.0).collect::<Vec<_>>(),
    )
    .load(connection)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| (UserId(row.user_id), row.key))
        .collect())
}

#[derive(QueryableByName)]
struct KeyRow {
    #[diesel(sql_type = SqlUuid)]
    user_id: Uuid,
    #[diesel(sql_type = Text)]
    key: String,
}

/// Locks claims and the heads of their vehicles' queues until the transaction ends, and returns the ids of
/// the leases that are still held. It does not wait for a claim: one that another transaction has locked is
/// omitted. `claims` must be sorted by vehicle id, the order in which the heads are locked.
pub async fn hold(connection: &mut Connection, claims: &[&Claim]) -> Result<HashSet<Uuid>> {
    let held: Vec<HeldRow> = prepared!(
        "SELECT claim.lease_id
         FROM unnest({}, {}) AS claim (command_id, lease_id)
         CROSS JOIN LATERAL (
             SELECT command_id, vehicle_id
             FROM command_queue
             WHERE command_queue.command_id = claim.command_id
               AND command_queue.lease_id = claim.lease_id
               AND NOT is_cancelled
             LIMIT 1
             FOR UPDATE SKIP LOCKED) AS held
         LEFT JOIN LATERAL (
             SELECT vehicle_id
             FROM queue_heads
             WHERE queue_heads.vehicle_id = held.vehicle_id
             LIMIT 1
             FOR UPDATE) AS head ON true",
        Array<SqlUuid> = claims.iter().map(|it| it.command_id.0).collect::<Vec<_>>(),
        Array<SqlUuid> = claims.iter().map(|it| it.lease_id).collect::<Vec<_>>(),
    )
    .load(connection)
    .await?;
    Ok(held.into_iter().map(|row| row.lease_id).collect())
}

#[derive(QueryableByName)]
struct HeldRow {
    #[diesel(sql_type = SqlUuid)]
    lease_id: Uuid,
}

/// Inserts responses. Those that are final complete their commands, which leave the queue. Inserting the same
/// response again has no effect. Returns the commands that were in progress and are completed now.
///
/// The caller must have locked the claims with [`hold`], so that the rows stay where they are found. They are
/// found one by one by primary key, whatever the planner knows about the tables.
///
/// # Errors
///
/// Returns [`StorageError::Duplicate`](crate::StorageError::Duplicate), and changes nothing, if a command has another response with the
/// same number.
pub async fn store(
    connection: &mut Connection,
    responses: &[&Response],
    now: DateTime<Utc>,
) -> Result<Vec<Command>> {
    let ended: Vec<Uuid> = responses
        .iter()
        .filter(|response| response.is_final)
        .map(|response| response.command_id.0)
        .collect();
    let completed: Vec<CommandRow> = prepared!(
        "WITH stored AS (
             INSERT INTO responses
                 (response_id, command_id, response_payload, sequence_number, is_final, received_at)
             SELECT * FROM unnest({}, {}, {}, {}, {}, {})
             ON CONFLICT (response_id) DO NOTHING),
         ended AS (
             SELECT entry.ctid AS entry, command.ctid AS command, command.status
             FROM unnest({}) AS ended (command_id)
             CROSS JOIN LATERAL (
                 SELECT ctid FROM command_queue
                 WHERE command_queue.command_id = ended.command_id LIMIT 1) AS entry
             CROSS JOIN LATERAL (
                 SELECT ctid, status FROM commands
                 WHERE commands.command_id = ended.command_id LIMIT 1) AS command),
         removed AS (
             DELETE FROM command_queue WHERE ctid = ANY (ARRAY (SELECT entry FROM ended)))
         UPDATE commands SET status = 'completed', completed_at = {}
         WHERE ctid = ANY (ARRAY (SELECT command FROM ended WHERE status = 'in_progress'))
         RETURNING command_id, user_id, vehicle_id, command_name, command_params, status, failure_kind,
                   error_message, submitted_at, started_at, completed_at, expires_at, finding",
        Array<SqlUuid> = responses.iter().map(|it| it.response_id.0).collect::<Vec<_>>(),
        Array<SqlUuid> = responses.iter().map(|it| it.command_id.0).collect::<Vec<_>>(),
        Array<Jsonb> = responses.iter().map(|it| &it.response_payload).collect::<Vec<&Value>>(),
        Array<Integer> = responses.iter().map(|it| it.sequence_number).collect::<Vec<_>>(),
        Array<Bool> = responses.iter().map(|it| it.is_final).collect::<Vec<_>>(),
        Array<Timestamptz> = responses.iter().map(|it| it.received_at).collect::<Vec<_>>(),
        Array<SqlUuid> = ended,
        Timestamptz = now,
    )
    .load(connection)
    .await?;
    completed.into_iter().map(Command::try_from).collect()
}

/// Returns whether the queue of one of the vehicles has an entry.
pub async fn has_tasks(connection: &mut Connection, vehicle_ids: &[VehicleId]) -> Result<bool> {
    let ids: Vec<Uuid> = vehicle_ids.iter().map(|id| id.0).collect();
    let waiting: Option<VehicleRow> = prepared!(
        "SELECT vehicle_id FROM queue_heads WHERE vehicle_id = ANY ({}) LIMIT 1",
        Array<SqlUuid> = ids,
    )
    .get_result(connection)
    .await
    .optional()?;
    Ok(waiting.is_some())
}

#[derive(QueryableByName)]
struct VehicleRow {
    #[diesel(sql_type = SqlUuid)]
    #[expect(dead_code, reason = "a row needs a column")]
    vehicle_id: Uuid,
}
