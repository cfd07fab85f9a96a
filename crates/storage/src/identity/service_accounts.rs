//! Service accounts, which authenticate with an API key.

#![expect(
    clippy::missing_errors_doc,
    reason = "`StorageError` documents the errors that every function returns"
)]

use std::net::IpAddr;

use chrono::{DateTime, Utc};
use diesel::{pg::Pg, prelude::*};
use diesel_async::RunQueryDsl;
use sovd_domain::{Page, Permission, Scope, ServiceAccount, UserId, VehicleId};
use uuid::Uuid;

use crate::{
    Connection, StorageError,
    identity::users::{Credentials, UserRow, insert as insert_user},
    schema::{service_accounts, users},
};

/// The password hash of a service account: no password matches it.
const NO_PASSWORD: &str = "!";

/// Inserts an account whose key has the hash `key_hash`, and its user.
///
/// # Errors
///
/// [`StorageError::Duplicate`] if the name is taken.
pub async fn insert(
    connection: &mut Connection,
    account: &ServiceAccount,
    key_hash: &str,
) -> Result<(), StorageError> {
    let credentials = Credentials {
        user: account.user.clone(),
        password_hash: NO_PASSWORD.to_owned(),
    };
    insert_user(connection, &credentials).await?;
    let permissions: Vec<&str> = account
        .scope
        .permissions
        .iter()
        .map(|permission| permission.as_str())
        .collect();
    let vehicle_ids = account.scope.vehicle_ids.as_ref();
    let vehicle_ids: Option<Vec<Uuid>> = vehicle_ids.map(|ids| ids.iter().map(|id| id.0).collect());
    diesel::insert_into(service_accounts::table)
        .values((
            service_accounts::user_id.eq(account.user.user_id.0),
            service_accounts::key_hash.eq(key_hash),
            service_accounts::permissions.eq(permissions),
            service_accounts::vehicle_ids.eq(vehicle_ids),
            service_accounts::created_by.eq(account.created_by.map(|id| id.0)),
            service_accounts::expires_at.eq(account.expires_at),
        ))
        .execute(connection)
        .await?;
    Ok(())
}

/// Lists one page of the accounts by name, and counts all of them.
pub async fn list(
    connection: &mut Connection,
    page: Page,
) -> Result<(Vec<ServiceAccount>, i64), StorageError> {
    let total = service_accounts::table
        .count()
        .get_result(connection)
        .await?;
    let rows: Vec<(AccountRow, UserRow)> = service_accounts::table
        .inner_join(users::table.on(users::user_id.eq(service_accounts::user_id)))
        .select((AccountRow::as_select(), UserRow::as_select()))
        .order(users::username)
        .limit(page.limit())
        .offset(page.offset())
        .load(connection)
        .await?;
    let found: Result<_, _> = rows.into_iter().map(read).collect();
    Ok((found?, total))
}

/// Finds an account by id.
pub async fn find(
    connection: &mut Connection,
    user_id: UserId,
) -> Result<Option<ServiceAccount>, StorageError> {
    let row: Option<(AccountRow, UserRow)> = service_accounts::table
        .inner_join(users::table.on(users::user_id.eq(service_accounts::user_id)))
        .filter(service_accounts::user_id.eq(user_id.0))
        .select((AccountRow::as_select(), UserRow::as_select()))
        .first(connection)
        .await
        .optional()?;
    row.map(read).transpose()
}

/// Finds the account of the key with this hash, if the key is valid at `now`.
pub async fn find_by_key(
    connection: &mut Connection,
    key_hash: &str,
    now: DateTime<Utc>,
) -> Result<Option<ServiceAccount>, StorageError> {
    let row: Option<(AccountRow, UserRow)> = service_accounts::table
        .inner_join(users::table.on(users::user_id.eq(service_accounts::user_id)))
        .filter(service_accounts::key_hash.eq(key_hash))
        .filter(service_accounts::revoked_at.is_null())
        .filter(service_accounts::expires_at.gt(now))
        .filter(users::is_active)
        .select((AccountRow::as_select(), UserRow::as_select()))
        .first(connection)
        .await
        .optional()?;
    row.map(read).transpose()
}

/// Returns those of the hashes whose keys are valid at `now`.
pub async fn live(
    connection: &mut Connection,
    key_hashes: &[String],
    now: DateTime<Utc>,
) -> Result<Vec<String>, StorageError> {
    Ok(service_accounts::table
        .inner_join(users::table.on(users::user_id.eq(service_accounts::user_id)))
        .filter(service_accounts::key_hash.eq_any(key_hashes))
        .filter(service_accounts::revoked_at.is_null())
        .filter(service_accounts::expires_at.gt(now))
        .filter(users::is_active)
        .select(service_accounts::key_hash)
        .load(connection)
        .await?)
}

/// Locks the account until the transaction ends if the key with this hash is valid at `now`; returns
/// whether it is.
pub async fn lock_valid(
    connection: &mut Connection,
    key_hash: &str,
    now: DateTime<Utc>,
) -> Result<bool, StorageError> {
    let locked: Option<Uuid> = service_accounts::table
        .filter(service_accounts::key_hash.eq(key_hash))
        .filter(service_accounts::revoked_at.is_null())
        .filter(service_accounts::expires_at.gt(now))
        .select(service_accounts::user_id)
        .for_share()
        .first(connection)
        .await
        .optional()?;
    Ok(locked.is_some())
}

/// Records the use of the key.
pub async fn touch(
    connection: &mut Connection,
    user_id: UserId,
    now: DateTime<Utc>,
    from: Option<IpAddr>,
) -> Result<(), StorageError> {
    diesel::update(service_accounts::table.find(user_id.0))
        .set((
            service_accounts::last_used_at.eq(now),
            service_accounts::last_used_from.eq(from.map(|address| address.to_string())),
        ))
        .execute(connection)
        .await?;
    Ok(())
}

/// Replaces the key of an account unless it is revoked; returns whether it did.
pub async fn replace_key(
    connection: &mut Connection,
    user_id: UserId,
    key_hash: &str,
    expires_at: DateTime<Utc>,
) -> Result<bool, StorageError> {
    let active = service_accounts::table
        .find(user_id.0)
        .filter(service_accounts::revoked_at.is_null());
    let replaced = diesel::update(active)
        .set((
            service_accounts::key_hash.eq(key_hash),
            service_accounts::expires_at.eq(expires_at),
        ))
        .execute(connection)
        .await?;
    Ok(replaced > 0)
}

/// Revokes an account permanently; returns `false` if it was revoked already.
pub async fn revoke(
    connection: &mut Connection,
    user_id: UserId,
    now: DateTime<Utc>,
) -> Result<bool, StorageError> {
    let active = service_accounts::table
        .find(user_id.0)
        .filter(service_accounts::revoked_at.is_null());
    let revoked = diesel::update(active)
        .set(service_accounts::revoked_at.eq(now))
        .execute(connection)
        .await?;
    Ok(revoked > 0)
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = service_accounts, check_for_backend(Pg))]
struct AccountRow {
    user_id: Uuid,
    permissions: Vec<String>,
    vehicle_ids: Option<Vec<Uuid>>,
    created_by: Option<Uuid>,
    expires_at: DateTime<Utc>,
    last_used_at: Option<DateTime<Utc>>,
    last_used_from: Option<String>,
    revoked_at: Option<DateTime<Utc>>,
}

fn read((row, user): (AccountRow, UserRow)) -> Result<ServiceAccount, StorageError> {
    let permissions: Result<Vec<Permission>, StorageError> = row
        .permissions
        .iter()
        .map(|word| {
            word.parse().map_err(|error| {
                StorageError::corrupt("service_accounts", "permissions", row.user_id, error)
            })
        })
        .collect();
    let ids = |ids: Vec<Uuid>| ids.into_iter().map(VehicleId).collect();
    Ok(ServiceAccount {
        user: user.try_into()?,
        scope: Scope {
            permissions: permissions?,
            vehicle_ids: row.vehicle_ids.map(ids),
        },
        created_by: row.created_by.map(UserId),
        expires_at: row.expires_at,
        last_used_at: row.last_used_at,
        last_used_from: row.last_used_from.and_then(|address| address.parse().ok()),
        revoked_at: row.revoked_at,
    })
}
