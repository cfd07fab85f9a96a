//! The idempotency keys of recent submissions.

use chrono::{DateTime, Utc};
use diesel::{
    prelude::*,
    sql_query,
    sql_types::{Binary, Text, Timestamptz, Uuid as SqlUuid},
};
use diesel_async::RunQueryDsl;
use sovd_domain::{CommandId, IdempotencyKey, UserId};
use uuid::Uuid;

use crate::{Connection, Result, schema::idempotency_keys, statement::Statement};

/// A request with an idempotency key.
#[derive(Debug, Clone, Copy)]
pub struct KeyedRequest<'a> {
    /// The user who sent it.
    pub user_id: UserId,
    /// The key.
    pub key: &'a IdempotencyKey,
    /// Identifies the content of the request.
    pub fingerprint: &'a [u8],
}

/// The request that a key was used for before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// The command.
    pub command_id: CommandId,
    /// The fingerprint of the request.
    pub fingerprint: Vec<u8>,
}

/// Associates a key with `command_id`, or returns the command with which it has been associated since
/// `forget_before`. Concurrent transactions with the same key wait for each other.
///
/// The command may be inserted later in the same transaction.
pub async fn remember(
    connection: &mut Connection,
    request: KeyedRequest<'_>,
    command_id: CommandId,
    now: DateTime<Utc>,
    forget_before: DateTime<Utc>,
) -> Result<Option<Known>> {
    loop {
        let written = sql_query(
            "INSERT INTO idempotency_keys AS known
                 (user_id, key, fingerprint, command_id, created_at)
             VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (user_id, key) DO UPDATE
             SET fingerprint = excluded.fingerprint, command_id = excluded.command_id,
                 created_at = excluded.created_at
             WHERE known.created_at < $6",
        )
        .bind::<SqlUuid, _>(request.user_id.0)
        .bind::<Text, _>(request.key.as_str())
        .bind::<Binary, _>(request.fingerprint)
        .bind::<SqlUuid, _>(command_id.0)
        .bind::<Timestamptz, _>(now)
        .bind::<Timestamptz, _>(forget_before)
        .execute(connection)
        .await?;
        if written == 1 {
            return Ok(None);
        }
        let known: Option<(Uuid, Vec<u8>)> = idempotency_keys::table
            .find((request.user_id.0, request.key.as_str()))
            .select((idempotency_keys::command_id, idempotency_keys::fingerprint))
            .first(connection)
            .await
            .optional()?;
        // The command, and with it the key, has been deleted in the meantime.
        let Some((command_id, fingerprint)) = known else {
            continue;
        };
        return Ok(Some(Known {
            command_id: CommandId(command_id),
            fingerprint,
        }));
    }
}

/// Deletes the keys from before `cutoff` and returns their number.
pub async fn forget(connection: &mut Connection, cutoff: DateTime<Utc>) -> Result<usize> {
    let old = idempotency_keys::table.filter(idempotency_keys::created_at.lt(cutoff));
    diesel::delete(old).count_rows(connection).await
}
