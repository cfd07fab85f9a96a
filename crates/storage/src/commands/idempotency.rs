//! Which command a client's key stands for.

use chrono::{DateTime, Utc};
use diesel::{
    prelude::*,
    sql_query,
    sql_types::{Binary, Text, Timestamptz, Uuid as SqlUuid},
};
use diesel_async::RunQueryDsl;
use sovd_domain::{CommandId, IdempotencyKey, UserId};
use uuid::Uuid;

use crate::{Connection, StorageError, schema::idempotency_keys};

/// A request that came with a key.
#[derive(Debug, Clone, Copy)]
pub struct KeyedRequest<'a> {
    /// Whose key it is.
    pub user_id: UserId,
    /// The key.
    pub key: &'a IdempotencyKey,
    /// Tells the request from every other one.
    pub fingerprint: &'a [u8],
}

/// What a key stood for already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// The command.
    pub command_id: CommandId,
    /// The request's fingerprint.
    pub fingerprint: Vec<u8>,
}

/// Lets a key stand for `command_id`, unless it stands for another since `forget_before`; gives that
/// one then. Two transactions with the same key wait for each other.
///
/// The command may be written later in the transaction.
///
/// # Errors
///
/// When the database is away.
pub async fn remember(
    connection: &mut Connection,
    request: KeyedRequest<'_>,
    command_id: CommandId,
    now: DateTime<Utc>,
    forget_before: DateTime<Utc>,
) -> Result<Option<Known>, StorageError> {
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
        // Its command was deleted just now, so it stands for nothing again.
        let Some((command_id, fingerprint)) = known else {
            continue;
        };
        return Ok(Some(Known {
            command_id: CommandId(command_id),
            fingerprint,
        }));
    }
}

/// Forgets the keys from before `moment`; says how many.
///
/// # Errors
///
/// When the database is away.
pub async fn forget(
    connection: &mut Connection,
    moment: DateTime<Utc>,
) -> Result<usize, StorageError> {
    let old = idempotency_keys::table.filter(idempotency_keys::created_at.lt(moment));
    Ok(diesel::delete(old).execute(connection).await?)
}
