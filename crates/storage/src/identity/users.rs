//! Users.

use chrono::{DateTime, Utc};
use diesel::{
    dsl::{AsSelect, exists},
    pg::Pg,
    prelude::*,
    select,
};
use diesel_async::RunQueryDsl;
use sovd_domain::{Listing, Page, Role, User, UserId};
use uuid::Uuid;

use crate::{
    Connection, Result, StorageError, like,
    rows::row,
    schema::{command_queue, queue_heads, service_accounts, users, vehicles},
    statement::{Statement, capped_count},
};

/// A user and their password hash.
#[derive(Clone)]
pub struct Credentials {
    /// The user.
    pub user: User,
    /// A bcrypt hash in the modular crypt format.
    pub password_hash: String,
}

/// The criteria of a client; `None` matches every user.
#[derive(Debug, Clone, Default)]
pub struct UserFilter {
    /// The role.
    pub role: Option<Role>,
    /// A part of the name or e-mail address in any case.
    pub search: Option<String>,
}

/// Lists one page of the matching users by name.
pub async fn list(
    connection: &mut Connection,
    filter: &UserFilter,
    page: Page,
) -> Result<Listing<User>> {
    matching(filter)
        .select(UserRow::as_select())
        .order(users::username)
        .fetch_page(connection, capped_count(matching(filter)), &page)
        .await
}

/// Finds a user by id.
pub async fn find(connection: &mut Connection, user_id: UserId) -> Result<Option<User>> {
    password_user(user_id).fetch_first(connection).await
}

/// Finds and locks a user until the transaction ends.
pub async fn lock(connection: &mut Connection, user_id: UserId) -> Result<Option<User>> {
    password_user(user_id)
        .for_no_key_update()
        .fetch_first(connection)
        .await
}

/// Locks a user or service account until the transaction ends, which serializes its submissions and the
/// transactions that end its sessions. Lock a vehicle or a session only afterwards.
pub async fn lock_exclusively(connection: &mut Connection, user_id: UserId) -> Result<()> {
    users::table
        .find(user_id.0)
        .select(users::user_id)
        .for_no_key_update()
        .run(connection)
        .await
}

/// Locks and returns the active admins, so that concurrent transactions cannot remove the last one.
pub async fn lock_active_admins(connection: &mut Connection) -> Result<Vec<UserId>> {
    let ids: Vec<Uuid> = password_users()
        .filter(users::role.eq(Role::Admin.as_str()))
        .filter(users::is_active)
        .select(users::user_id)
        .order(users::user_id)
        .for_no_key_update()
        .load(connection)
        .await?;
    Ok(ids.into_iter().map(UserId).collect())
}

/// Inserts a user.
///
/// # Errors
///
/// [`StorageError::Duplicate`] if the name or e-mail address is taken.
pub async fn insert(connection: &mut Connection, credentials: &Credentials) -> Result<()> {
    let user = &credentials.user;
    diesel::insert_into(users::table)
        .values((
            UserRow::from(user),
            users::password_hash.eq(&credentials.password_hash),
            users::updated_at.eq(user.created_at),
        ))
        .run(connection)
        .await
}

/// Updates the e-mail address, role and state of a user that the caller has locked.
///
/// # Errors
///
/// [`StorageError::Duplicate`] if the e-mail address is taken.
pub async fn update(connection: &mut Connection, user: &User, now: DateTime<Utc>) -> Result<()> {
    diesel::update(users::table.find(user.user_id.0))
        .set((
            users::email.eq(&user.email),
            users::role.eq(user.role.as_str()),
            users::is_active.eq(user.is_active),
            users::updated_at.eq(now),
        ))
        .run(connection)
        .await
}

/// Sets the password hash of a user.
pub async fn set_password(
    connection: &mut Connection,
    user_id: UserId,
    password_hash: &str,
    now: DateTime<Utc>,
) -> Result<()> {
    diesel::update(users::table.find(user_id.0))
        .set((
            users::password_hash.eq(password_hash),
            users::updated_at.eq(now),
        ))
        .run(connection)
        .await
}

/// Locks the user until the transaction ends if they are active and still have this password hash;
/// returns whether that is so.
pub async fn lock_with_hash(
    connection: &mut Connection,
    credentials: &Credentials,
) -> Result<bool> {
    users::table
        .find(credentials.user.user_id.0)
        .filter(users::is_active)
        .filter(users::password_hash.eq(&credentials.password_hash))
        .select(users::user_id)
        .for_no_key_update()
        .affects_rows(connection)
        .await
}

/// Prevents the deletion of the user until the transaction ends. Call this before locking rows that
/// belong to the user, because a deletion locks the user first.
pub async fn prevent_deletion(connection: &mut Connection, user_id: UserId) -> Result<()> {
    users::table
        .find(user_id.0)
        .select(users::user_id)
        .for_key_share()
        .run(connection)
        .await
}

/// Finds a user and prevents changes to them until the transaction ends. The lock is shared.
pub async fn lock_shared(connection: &mut Connection, user_id: UserId) -> Result<Option<User>> {
    password_user(user_id)
        .for_share()
        .fetch_first(connection)
        .await
}

/// Returns whether commands of the user, or commands to vehicles of the user, have not ended. The answer
/// is only stable while the user and the vehicles are locked with [`lock_for_deletion`] and
/// [`crate::fleet::vehicles::lock_owned_for_deletion`].
pub async fn has_open_commands(connection: &mut Connection, user_id: UserId) -> Result<bool> {
    let submitted = command_queue::table.filter(command_queue::user_id.eq(user_id.0));
    let owned = vehicles::table
        .inner_join(queue_heads::table)
        .filter(vehicles::owner_id.eq(user_id.0));
    let open = select(exists(submitted).or(exists(owned)));
    Ok(open.get_result(connection).await?)
}

/// Finds and locks a user so that no row can refer to them anew until the transaction ends.
pub async fn lock_for_deletion(
    connection: &mut Connection,
    user_id: UserId,
) -> Result<Option<User>> {
    password_user(user_id)
        .for_update()
        .fetch_first(connection)
        .await
}

/// Deletes a user with their sessions and commands.
pub async fn delete(connection: &mut Connection, user_id: UserId) -> Result<()> {
    diesel::delete(users::table.find(user_id.0))
        .run(connection)
        .await
}

/// Finds the credentials of a user by id.
pub async fn credentials(
    connection: &mut Connection,
    user_id: UserId,
) -> Result<Option<Credentials>> {
    users::table
        .find(user_id.0)
        .select(CredentialsRow::as_select())
        .fetch_first(connection)
        .await
}

/// Finds the credentials of a user by name.
pub async fn credentials_of(
    connection: &mut Connection,
    username: &str,
) -> Result<Option<Credentials>> {
    users::table
        .filter(users::username.eq(username))
        .select(CredentialsRow::as_select())
        .fetch_first(connection)
        .await
}

/// Replaces `old_hash` with `new_hash` unless the password was changed concurrently; returns whether it
/// did.
pub async fn replace_hash(
    connection: &mut Connection,
    user_id: UserId,
    old_hash: &str,
    new_hash: &str,
) -> Result<bool> {
    let unchanged = users::table
        .filter(users::user_id.eq(user_id.0))
        .filter(users::password_hash.eq(old_hash));
    diesel::update(unchanged)
        .set(users::password_hash.eq(new_hash))
        .affects_rows(connection)
        .await
}

/// The user with the id, unless it is a service account.
#[diesel::dsl::auto_type]
fn password_user(user_id: UserId) -> _ {
    let id: Uuid = user_id.0;
    let columns: AsSelect<UserRow, Pg> = UserRow::as_select();
    password_users()
        .filter(users::user_id.eq(id))
        .select(columns)
}

/// The users who log in with a password, as opposed to service accounts.
#[diesel::dsl::auto_type]
fn password_users() -> _ {
    users::table
        .filter(users::user_id.ne_all(service_accounts::table.select(service_accounts::user_id)))
}

fn matching(filter: &UserFilter) -> users::BoxedQuery<'_, Pg> {
    let mut query = password_users().into_boxed();
    if let Some(role) = filter.role {
        query = query.filter(users::role.eq(role.as_str()));
    }
    if let Some(search) = &filter.search {
        let pattern = like::containing(search);
        let named = users::username.ilike(pattern.clone());
        query = query.filter(named.or(users::email.ilike(pattern)));
    }
    query
}

row!(pub(crate) UserRow of users[user_id] for User {
    user_id: UserId,
    username: String,
    email: String,
    role: Role,
    is_active: bool,
    created_at: DateTime<Utc>,
});

#[derive(Queryable, Selectable)]
#[diesel(table_name = users, check_for_backend(Pg))]
struct CredentialsRow {
    #[diesel(embed)]
    user: UserRow,
    password_hash: String,
}

impl TryFrom<CredentialsRow> for Credentials {
    type Error = StorageError;

    fn try_from(row: CredentialsRow) -> Result<Self> {
        Ok(Self {
            user: row.user.try_into()?,
            password_hash: row.password_hash,
        })
    }
}
