//! Users.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use sovd_domain::{User, UserId};
use uuid::Uuid;

use crate::{Connection, StorageError, schema::users};

/// A user together with the hash of the password.
#[derive(Clone)]
pub struct Credentials {
    /// Who it is.
    pub user: User,
    /// bcrypt, in the modular crypt format.
    pub password_hash: String,
}

/// The user called `username`.
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
        .await
        .optional()?;
    row.map(|row| {
        let password_hash = row.password_hash.clone();
        Ok(Credentials {
            user: row.try_into()?,
            password_hash,
        })
    })
    .transpose()
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = users, check_for_backend(diesel::pg::Pg))]
pub(crate) struct UserRow {
    user_id: Uuid,
    username: String,
    email: String,
    password_hash: String,
    role: String,
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
            created_at: row.created_at,
        })
    }
}
