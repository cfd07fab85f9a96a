//! Users.

use chrono::{DateTime, Utc};
use diesel::{dsl::exists, pg::Pg, prelude::*, select};
use diesel_async::RunQueryDsl;
use sovd_domain::{Page, Role, User, UserId};
use uuid::Uuid;

use crate::{
    Connection, StorageError, like,
    schema::{command_queue, queue_heads, service_accounts, users, vehicles},
};

/// A user together with the hash of the password.
#[derive(Clone)]
pub struct Credentials {
    /// Who it is.
    pub user: User,
    /// bcrypt, in the modular crypt format.
    pub password_hash: String,
}

/// Which users to list; what is not set does not narrow the list.
#[derive(Debug, Clone, Default)]
pub struct UserFilter {
    /// Those of this role.
    pub role: Option<Role>,
    /// Those with this in their name or address, whatever its case.
    pub search: Option<String>,
}

/// One page of the users that match, by name, and how many match in all.
///
/// # Errors
///
/// When the database is away or a row is unreadable.
pub async fn list(
    connection: &mut Connection,
    filter: &UserFilter,
    page: Page,
) -> Result<(Vec<User>, i64), StorageError> {
    let total = matching(filter).count().get_result(connection).await?;
    let rows: Vec<UserRow> = matching(filter)
        .select(UserRow::as_select())
        .order(users::username)
        .limit(page.limit())
        .offset(page.offset())
        .load(connection)
        .await?;
    let found: Result<_, _> = rows.into_iter().map(User::try_from).collect();
    Ok((found?, total))
}

/// The user with the id.
///
/// # Errors
///
/// When the database is away or the row is unreadable.
pub async fn find(
    connection: &mut Connection,
    user_id: UserId,
) -> Result<Option<User>, StorageError> {
    let row = people()
        .filter(users::user_id.eq(user_id.0))
        .select(UserRow::as_select())
        .first(connection)
        .await;
    read(row)
}

/// The user with the address, whatever its case.
///
/// # Errors
///
/// When the database is away or the row is unreadable.
pub async fn find_by_email(
    connection: &mut Connection,
    email: &str,
) -> Result<Option<User>, StorageError> {
    let row = people()
        .filter(users::email.eq(email.to_lowercase()))
        .select(UserRow::as_select())
        .first(connection)
        .await;
    read(row)
}

/// The user with the id, locked until the transaction ends.
///
/// # Errors
///
/// When the database is away or the row is unreadable.
pub async fn lock(
    connection: &mut Connection,
    user_id: UserId,
) -> Result<Option<User>, StorageError> {
    let row = people()
        .filter(users::user_id.eq(user_id.0))
        .select(UserRow::as_select())
        .for_no_key_update()
        .first(connection)
        .await;
    read(row)
}

/// Locks a user or service account until the transaction ends, so that its submissions are counted one
/// after the other. The caller locks a vehicle afterwards, if it locks one.
///
/// # Errors
///
/// [`StorageError::Unavailable`] when the database does not answer, or the lock is not granted in time.
pub async fn lock_submissions(
    connection: &mut Connection,
    user_id: UserId,
) -> Result<(), StorageError> {
    users::table
        .find(user_id.0)
        .select(users::user_id)
        .for_no_key_update()
        .load::<Uuid>(connection)
        .await?;
    Ok(())
}

/// The active admins, locked until the transaction ends, so that of two who would each leave none
/// behind one has to wait for the other.
///
/// # Errors
///
/// When the database is away.
pub async fn lock_active_admins(connection: &mut Connection) -> Result<Vec<UserId>, StorageError> {
    let ids: Vec<Uuid> = people()
        .filter(users::role.eq(Role::Admin.as_str()))
        .filter(users::is_active)
        .select(users::user_id)
        .order(users::user_id)
        .for_no_key_update()
        .load(connection)
        .await?;
    Ok(ids.into_iter().map(UserId).collect())
}

/// Writes a user.
///
/// # Errors
///
/// [`StorageError::Duplicate`] when the name or the address is taken.
pub async fn insert(
    connection: &mut Connection,
    credentials: &Credentials,
) -> Result<(), StorageError> {
    let user = &credentials.user;
    diesel::insert_into(users::table)
        .values((
            users::user_id.eq(user.user_id.0),
            users::username.eq(&user.username),
            users::email.eq(&user.email),
            users::password_hash.eq(&credentials.password_hash),
            users::role.eq(user.role.as_str()),
            users::is_active.eq(user.is_active),
            users::created_at.eq(user.created_at),
            users::updated_at.eq(user.created_at),
        ))
        .execute(connection)
        .await?;
    Ok(())
}

/// Writes the address, the role and the state of a user that the caller has locked.
///
/// # Errors
///
/// [`StorageError::Duplicate`] when the address is taken.
pub async fn update(
    connection: &mut Connection,
    user: &User,
    now: DateTime<Utc>,
) -> Result<(), StorageError> {
    diesel::update(users::table.find(user.user_id.0))
        .set((
            users::email.eq(&user.email),
            users::role.eq(user.role.as_str()),
            users::is_active.eq(user.is_active),
            users::updated_at.eq(now),
        ))
        .execute(connection)
        .await?;
    Ok(())
}

/// Gives a user another password.
///
/// # Errors
///
/// When the database is away.
pub async fn set_password(
    connection: &mut Connection,
    user_id: UserId,
    password_hash: &str,
    now: DateTime<Utc>,
) -> Result<(), StorageError> {
    diesel::update(users::table.find(user_id.0))
        .set((
            users::password_hash.eq(password_hash),
            users::updated_at.eq(now),
        ))
        .execute(connection)
        .await?;
    Ok(())
}

/// Whether the user is active and has this password hash; keeps it so until the transaction ends.
///
/// # Errors
///
/// When the database is away.
pub async fn hold(
    connection: &mut Connection,
    credentials: &Credentials,
) -> Result<bool, StorageError> {
    let held: Option<Uuid> = users::table
        .find(credentials.user.user_id.0)
        .filter(users::is_active)
        .filter(users::password_hash.eq(&credentials.password_hash))
        .select(users::user_id)
        .for_no_key_update()
        .first(connection)
        .await
        .optional()?;
    Ok(held.is_some())
}

/// Keeps the user from being deleted until the transaction ends. Whoever locks something of theirs
/// does this first, as a deletion begins with the user.
///
/// # Errors
///
/// When the database is away.
pub async fn keep(connection: &mut Connection, user_id: UserId) -> Result<(), StorageError> {
    users::table
        .find(user_id.0)
        .select(users::user_id)
        .for_key_share()
        .load::<Uuid>(connection)
        .await?;
    Ok(())
}

/// The user with the id, kept as they are until the transaction ends. Others may keep them at the same
/// time; a change of the user waits.
///
/// # Errors
///
/// When the database is away or the row is unreadable.
pub async fn keep_unchanged(
    connection: &mut Connection,
    user_id: UserId,
) -> Result<Option<User>, StorageError> {
    let row = people()
        .filter(users::user_id.eq(user_id.0))
        .select(UserRow::as_select())
        .for_share()
        .first(connection)
        .await;
    read(row)
}

/// Whether something of the user's is still to be done at a vehicle, or something at a vehicle of
/// theirs. The rows of the user and of the vehicles must be locked with [`lock_for_deletion`] and
/// [`crate::fleet::vehicles::lock_owned_for_deletion`], or something may come after the look.
///
/// # Errors
///
/// When the database is away.
pub async fn has_open_commands(
    connection: &mut Connection,
    user_id: UserId,
) -> Result<bool, StorageError> {
    let submitted = command_queue::table.filter(command_queue::user_id.eq(user_id.0));
    let owned = vehicles::table
        .inner_join(queue_heads::table)
        .filter(vehicles::owner_id.eq(user_id.0));
    let open = select(exists(submitted).or(exists(owned)));
    Ok(open.get_result(connection).await?)
}

/// The user with the id, locked so that nothing new of theirs is written before the transaction
/// ends.
///
/// # Errors
///
/// When the database is away or the row is unreadable.
pub async fn lock_for_deletion(
    connection: &mut Connection,
    user_id: UserId,
) -> Result<Option<User>, StorageError> {
    let row = people()
        .filter(users::user_id.eq(user_id.0))
        .select(UserRow::as_select())
        .for_update()
        .first(connection)
        .await;
    read(row)
}

/// Deletes a user with all that is theirs.
///
/// # Errors
///
/// When the database is away.
pub async fn delete(connection: &mut Connection, user_id: UserId) -> Result<(), StorageError> {
    diesel::delete(users::table.find(user_id.0))
        .execute(connection)
        .await?;
    Ok(())
}

/// The user with the id together with the hash of the password.
///
/// # Errors
///
/// When the database is away or the row is unreadable.
pub async fn credentials(
    connection: &mut Connection,
    user_id: UserId,
) -> Result<Option<Credentials>, StorageError> {
    let row = users::table
        .find(user_id.0)
        .select(UserRow::as_select())
        .first(connection)
        .await;
    read(row)
}

/// The user called `username`, together with the hash of the password.
///
/// # Errors
///
/// When the database is away or the row is unreadable.
pub async fn credentials_of(
    connection: &mut Connection,
    username: &str,
) -> Result<Option<Credentials>, StorageError> {
    let row = users::table
        .filter(users::username.eq(username))
        .select(UserRow::as_select())
        .first(connection)
        .await;
    read(row)
}

/// Puts `new_hash` in the place of `old_hash`, if that is still the user's; says whether it was.
/// So a password that was changed meanwhile stays changed.
///
/// # Errors
///
/// When the database is away.
pub async fn replace_hash(
    connection: &mut Connection,
    user_id: UserId,
    old_hash: &str,
    new_hash: &str,
) -> Result<bool, StorageError> {
    let held = users::table
        .filter(users::user_id.eq(user_id.0))
        .filter(users::password_hash.eq(old_hash));
    let replaced = diesel::update(held)
        .set(users::password_hash.eq(new_hash))
        .execute(connection)
        .await?;
    Ok(replaced == 1)
}

fn read<T>(row: QueryResult<UserRow>) -> Result<Option<T>, StorageError>
where
    T: TryFrom<UserRow, Error = StorageError>,
{
    row.optional()?.map(T::try_from).transpose()
}

/// Service accounts are users too, and have a place of their own.
#[diesel::dsl::auto_type]
fn people() -> _ {
    let machines = service_accounts::table.select(service_accounts::user_id);
    users::table.filter(users::user_id.ne_all(machines))
}

fn matching(filter: &UserFilter) -> users::BoxedQuery<'_, Pg> {
    let mut query = people().into_boxed();
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

#[derive(Queryable, Selectable)]
#[diesel(table_name = users, check_for_backend(diesel::pg::Pg))]
pub(crate) struct UserRow {
    user_id: Uuid,
    username: String,
    email: String,
    password_hash: String,
    role: String,
    is_active: bool,
    created_at: DateTime<Utc>,
}

impl TryFrom<UserRow> for User {
    type Error = StorageError;

    fn try_from(row: UserRow) -> Result<Self, StorageError> {
        let corrupt = |error| StorageError::corrupt("users", "role", row.user_id, error);
        Ok(Self {
            user_id: UserId(row.user_id),
            role: row.role.parse().map_err(corrupt)?,
            username: row.username,
            email: row.email,
            is_active: row.is_active,
            created_at: row.created_at,
        })
    }
}

impl TryFrom<UserRow> for Credentials {
    type Error = StorageError;

    fn try_from(row: UserRow) -> Result<Self, StorageError> {
        let password_hash = row.password_hash.clone();
        Ok(Self {
            user: row.try_into()?,
            password_hash,
        })
    }
}
