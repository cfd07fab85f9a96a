//! Sessions: one row for each login that has not ended.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use sovd_domain::{SessionId, User, UserId};

use crate::{
    Connection, StorageError,
    schema::{sessions, users},
    users::UserRow,
};

/// A session to be.
#[derive(Debug)]
pub struct NewSession<'a> {
    /// Identifies it.
    pub session_id: SessionId,
    /// Who logged in.
    pub user_id: UserId,
    /// SHA-256 of the refresh token in hexadecimal.
    pub token_hash: &'a str,
    /// When the refresh token ends.
    pub expires_at: DateTime<Utc>,
    /// The moment of the login.
    pub created_at: DateTime<Utc>,
}

/// Writes a session.
///
/// # Errors
///
/// When the database is away.
pub async fn insert(
    connection: &mut Connection,
    session: NewSession<'_>,
) -> Result<(), StorageError> {
    diesel::insert_into(sessions::table)
        .values((
            sessions::session_id.eq(session.session_id.0),
            sessions::user_id.eq(session.user_id.0),
            sessions::refresh_token.eq(session.token_hash),
            sessions::expires_at.eq(session.expires_at),
            sessions::created_at.eq(session.created_at),
        ))
        .execute(connection)
        .await?;
    Ok(())
}

/// Puts `new_hash` in the place of `old_hash`, if that is still the session's and has not
/// expired at `now`. Of two callers with the same token one gets the session, the other nothing.
///
/// # Errors
///
/// When the database is away.
pub async fn rotate(
    connection: &mut Connection,
    old_hash: &str,
    new_hash: &str,
    now: DateTime<Utc>,
    expires_at: DateTime<Utc>,
) -> Result<Option<SessionId>, StorageError> {
    let live = sessions::table
        .filter(sessions::refresh_token.eq(old_hash))
        .filter(sessions::expires_at.gt(now));
    let session_id = diesel::update(live)
        .set((
            sessions::refresh_token.eq(new_hash),
            sessions::expires_at.eq(expires_at),
        ))
        .returning(sessions::session_id)
        .get_result(connection)
        .await
        .optional()?;
    Ok(session_id.map(SessionId))
}

/// Whose session it is, if it has not ended at `now`.
///
/// # Errors
///
/// When the database is away or the user's row is unreadable.
pub async fn user_of(
    connection: &mut Connection,
    session_id: SessionId,
    now: DateTime<Utc>,
) -> Result<Option<User>, StorageError> {
    sessions::table
        .inner_join(users::table)
        .filter(sessions::session_id.eq(session_id.0))
        .filter(sessions::expires_at.gt(now))
        .select(UserRow::as_select())
        .first(connection)
        .await
        .optional()?
        .map(User::try_from)
        .transpose()
}

/// Ends the session of `user_id` that holds `token_hash`; says whether there was one.
///
/// # Errors
///
/// When the database is away.
pub async fn end_by_token(
    connection: &mut Connection,
    user_id: UserId,
    token_hash: &str,
) -> Result<Option<SessionId>, StorageError> {
    let held = sessions::table
        .filter(sessions::user_id.eq(user_id.0))
        .filter(sessions::refresh_token.eq(token_hash));
    let session_id = diesel::delete(held)
        .returning(sessions::session_id)
        .get_result(connection)
        .await
        .optional()?;
    Ok(session_id.map(SessionId))
}

/// Ends every session of `user_id`; says how many there were.
///
/// # Errors
///
/// When the database is away.
pub async fn end_all(connection: &mut Connection, user_id: UserId) -> Result<usize, StorageError> {
    let held = sessions::table.filter(sessions::user_id.eq(user_id.0));
    Ok(diesel::delete(held).execute(connection).await?)
}
