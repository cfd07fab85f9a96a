//! Service accounts, which authenticate with an API key.

use std::net::IpAddr;

use chrono::{DateTime, Utc};
use diesel::{pg::Pg, prelude::*};
use diesel_async::RunQueryDsl;
use sovd_domain::{Listing, Page, Scope, ServiceAccount, UserId, VehicleId};
use uuid::Uuid;

use crate::{
    Connection, Result, StorageError,
    identity::users::{Credentials, UserRow, insert as insert_user},
    rows::restore,
    schema::{service_accounts, users},
    statement::{Statement, capped_count},
};

/// The password hash of a service account: no password matches it.
const NO_PASSWORD: &str = "!";

/// Inserts an account whose key has the hash `key_hash`, and its user.
///
/// # Errors
///
/// `StorageError::Duplicate` if the name is taken.
pub async fn insert(
    connection: &mut Connection,
    account: &ServiceAccount,
    key_hash: &str,
) -> Result<()> {
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
        .run(connection)
        .await
}

/// Lists one page of the accounts by name.
pub async fn list(connection: &mut Connection, page: Page) -> Result<Listing<ServiceAccount>> {
    service_accounts::table
        .inner_join(users::table)
        .select(Row::as_select())
        .order(users::username)
        .fetch_page(connection, capped_count(service_accounts::table), &page)
        .await
}

/// Finds an account by id.
pub async fn find(connection: &mut Connection, user_id: UserId) -> Result<Option<ServiceAccount>> {
    service_accounts::table
        .inner_join(users::table)
        .filter(service_accounts::user_id.eq(user_id.0))
        .select(Row::as_select())
        .fetch_first(connection)
        .await
}

/// Finds the account of the key with this hash, if the key is valid at `now`.
pub async fn find_by_key(
    connection: &mut Connection,
    key_hash: &str,
    now: DateTime<Utc>,
) -> Result<Option<ServiceAccount>> {
    valid(now)
        .filter(service_accounts::key_hash.eq(key_hash))
        .select(Row::as_select())
        .fetch_first(connection)
        .await
}

/// Returns those of the hashes whose keys are valid at `now`.
pub async fn live(
    connection: &mut Connection,
    key_hashes: &[String],
    now: DateTime<Utc>,
) -> Result<Vec<String>> {
    Ok(valid(now)
        .filter(service_accounts::key_hash.eq_any(key_hashes))
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
) -> Result<bool> {
    service_accounts::table
        .filter(service_accounts::key_hash.eq(key_hash))
        .filter(service_accounts::revoked_at.is_null())
        .filter(service_accounts::expires_at.gt(now))
        .select(service_accounts::user_id)
        .for_share()
        .affects_rows(connection)
        .await
}

/// Records the use of the key.
pub async fn touch(
    connection: &mut Connection,
    user_id: UserId,
    now: DateTime<Utc>,
    from: Option<IpAddr>,
) -> Result<()> {
    diesel::update(service_accounts::table.find(user_id.0))
        .set((
            service_accounts::last_used_at.eq(now),
            service_accounts::last_used_from.eq(from.map(|address| address.to_string())),
        ))
        .run(connection)
        .await
}

/// Replaces the key of an account unless it is revoked; returns whether it did.
pub async fn replace_key(
    connection: &mut Connection,
    user_id: UserId,
    key_hash: &str,
    expires_at: DateTime<Utc>,
) -> Result<bool> {
    let active = service_accounts::table
        .find(user_id.0)
        .filter(service_accounts::revoked_at.is_null());
    diesel::update(active)
        .set((
            service_accounts::key_hash.eq(key_hash),
            service_accounts::expires_at.eq(expires_at),
        ))
        .affects_rows(connection)
        .await
}

/// Revokes an account permanently; returns `false` if it was revoked already.
pub async fn revoke(
    connection: &mut Connection,
    user_id: UserId,
    now: DateTime<Utc>,
) -> Result<bool> {
    let active = service_accounts::table
        .find(user_id.0)
        .filter(service_accounts::revoked_at.is_null());
    diesel::update(active)
        .set(service_accounts::revoked_at.eq(now))
        .affects_rows(connection)
        .await
}

/// The accounts whose keys are valid.
#[diesel::dsl::auto_type]
fn valid(now: DateTime<Utc>) -> _ {
    service_accounts::table
        .inner_join(users::table)
        .filter(service_accounts::revoked_at.is_null())
        .filter(service_accounts::expires_at.gt(now))
        .filter(users::is_active)
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

#[derive(Queryable, Selectable)]
#[diesel(check_for_backend(Pg))]
struct Row {
    #[diesel(embed)]
    account: AccountRow,
    #[diesel(embed)]
    user: UserRow,
}

impl TryFrom<Row> for ServiceAccount {
    type Error = StorageError;

    fn try_from(Row { account, user }: Row) -> Result<Self> {
        let id = account.user_id;
        let permission = |word| restore(word, "service_accounts", "permissions", id);
        let permissions: Result<_, _> = account.permissions.into_iter().map(permission).collect();
        let ids = |ids: Vec<Uuid>| ids.into_iter().map(VehicleId).collect();
        Ok(Self {
            user: user.try_into()?,
            scope: Scope {
                permissions: permissions?,
                vehicle_ids: account.vehicle_ids.map(ids),
            },
            created_by: account.created_by.map(UserId),
            expires_at: account.expires_at,
            last_used_at: account.last_used_at,
            last_used_from: account
                .last_used_from
                .and_then(|address| address.parse().ok()),
            revoked_at: account.revoked_at,
        })
    }
}
