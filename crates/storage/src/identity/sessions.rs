//! Sessions that have not ended.

pub mod spent;

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use diesel::{
    pg::Pg,
    prelude::*,
    sql_types::{Array, Text, Timestamptz, Uuid as SqlUuid},
};
use diesel_async::RunQueryDsl;
use sovd_domain::{ClientInfo, Role, Session, SessionId, User, UserId};
use uuid::Uuid;

use crate::{
    Connection, Result,
    identity::users::UserRow,
    prepared::prepared,
    schema::{sessions, users},
    statement::Statement,
};

/// Inserts a session whose refresh token has this hash.
pub async fn insert(
    connection: &mut Connection,
    session: &Session,
    token_hash: &str,
) -> Result<()> {
    diesel::insert_into(sessions::table)
        .values((
            sessions::session_id.eq(session.session_id.0),
            sessions::user_id.eq(session.user_id.0),
            sessions::refresh_token.eq(token_hash),
            sessions::expires_at.eq(session.expires_at),
            sessions::created_at.eq(session.created_at),
            sessions::ends_at.eq(session.ends_at),
            sessions::last_used_at.eq(session.last_used_at),
            sessions::ip_address.eq(address(&session.client)),
            sessions::user_agent.eq(&session.client.user_agent),
        ))
        .run(connection)
        .await
}

/// Finds and locks the session of the refresh token with this hash, unless it has expired at `now`. Of
/// two concurrent refreshes with one token, the second finds no session.
pub async fn lock_by_token(
    connection: &mut Connection,
    token_hash: &str,
    now: DateTime<Utc>,
) -> Result<Option<Session>> {
    sessions::table
        .filter(sessions::refresh_token.eq(token_hash))
        .filter(sessions::expires_at.gt(now))
        .select(SessionRow::as_select())
        .for_update()
        .fetch_first(connection)
        .await
}

/// Replaces the refresh token of a session and updates its expiry, last use and client.
pub async fn renew(connection: &mut Connection, session: &Session, token_hash: &str) -> Result<()> {
    diesel::update(sessions::table.find(session.session_id.0))
        .set((
            sessions::refresh_token.eq(token_hash),
            sessions::expires_at.eq(session.expires_at),
            sessions::last_used_at.eq(session.last_used_at),
            sessions::ip_address.eq(address(&session.client)),
            sessions::user_agent.eq(&session.client.user_agent),
        ))
        .run(connection)
        .await
}

/// Returns the user of a session and its last use, if the session is live at `now`.
pub async fn user_of(
    connection: &mut Connection,
    session_id: SessionId,
    now: DateTime<Utc>,
) -> Result<Option<(User, DateTime<Utc>)>> {
    let row: Option<(UserRow, DateTime<Utc>)> = live_at(now)
        .filter(sessions::session_id.eq(session_id.0))
        .select((UserRow::as_select(), sessions::last_used_at))
        .first(connection)
        .await
        .optional()?;
    row.map(|(user, last_used_at)| Ok((user.try_into()?, last_used_at)))
        .transpose()
}

/// Locks the session until the transaction ends if it is live at `now` and its user has `role`; returns
/// whether that is so. The user is locked before the session, in the order of a deletion.
pub async fn lock_live(
    connection: &mut Connection,
    session_id: SessionId,
    role: Role,
    now: DateTime<Utc>,
) -> Result<bool> {
    prepared!(
        "SELECT 1 FROM users JOIN sessions USING (user_id)
         WHERE session_id = {} AND role = {} AND is_active AND expires_at > {}
         FOR KEY SHARE OF users, sessions",
        SqlUuid = session_id.0,
        Text = role.as_str(),
        Timestamptz = now,
    )
    .affects_rows(connection)
    .await
}

/// Does the same as [`lock_live`] for several sessions, each given with the role of its user, and returns
/// those that it locked. It does not wait: sessions that another transaction has locked are omitted.
pub async fn lock_all_live(
    connection: &mut Connection,
    sessions: &[(SessionId, Role)],
    now: DateTime<Utc>,
) -> Result<HashSet<SessionId>> {
    let (ids, roles): (Vec<Uuid>, Vec<&str>) = sessions
        .iter()
        .map(|(session_id, role)| (session_id.0, role.as_str()))
        .unzip();
    let locked: Vec<Locked> = prepared!(
        "SELECT locked.session_id
         FROM unnest({}, {}) AS caller (session_id, role)
         CROSS JOIN LATERAL (
             SELECT sessions.session_id
             FROM sessions JOIN users USING (user_id)
             WHERE sessions.session_id = caller.session_id AND users.role = caller.role
               AND users.is_active AND sessions.expires_at > {}
             LIMIT 1
             FOR KEY SHARE OF users, sessions SKIP LOCKED) AS locked",
        Array<SqlUuid> = ids,
        Array<Text> = roles,
        Timestamptz = now,
    )
    .load(connection)
    .await?;
    Ok(locked
        .into_iter()
        .map(|row| SessionId(row.session_id))
        .collect())
}

#[derive(QueryableByName)]
struct Locked {
    #[diesel(sql_type = SqlUuid)]
    session_id: Uuid,
}

/// Records the use of the session.
pub async fn touch(
    connection: &mut Connection,
    session_id: SessionId,
    now: DateTime<Utc>,
) -> Result<()> {
    let stale = sessions::table
        .find(session_id.0)
        .filter(sessions::last_used_at.lt(now));
    diesel::update(stale)
        .set(sessions::last_used_at.eq(now))
        .run(connection)
        .await
}

/// Returns those of the sessions that are live at `now`: not expired, and of an active user.
pub async fn live(
    connection: &mut Connection,
    session_ids: &[SessionId],
    now: DateTime<Utc>,
) -> Result<Vec<SessionId>> {
    let ids: Vec<Uuid> = session_ids.iter().map(|id| id.0).collect();
    let live: Vec<Uuid> = live_at(now)
        .filter(sessions::session_id.eq_any(ids))
        .select(sessions::session_id)
        .load(connection)
        .await?;
    Ok(live.into_iter().map(SessionId).collect())
}

/// Finds a session by id.
pub async fn find(connection: &mut Connection, session_id: SessionId) -> Result<Option<Session>> {
    sessions::table
        .find(session_id.0)
        .select(SessionRow::as_select())
        .fetch_first(connection)
        .await
}

/// Finds the user whose session has the refresh token with this hash.
pub async fn owner_of_token(
    connection: &mut Connection,
    token_hash: &str,
) -> Result<Option<UserId>> {
    let user_id: Option<Uuid> = sessions::table
        .filter(sessions::refresh_token.eq(token_hash))
        .select(sessions::user_id)
        .first(connection)
        .await
        .optional()?;
    Ok(user_id.map(UserId))
}

/// Lists the sessions of a user that have not expired at `now`, most recently used first.
pub async fn list(
    connection: &mut Connection,
    user_id: UserId,
    now: DateTime<Utc>,
) -> Result<Vec<Session>> {
    sessions::table
        .filter(sessions::user_id.eq(user_id.0))
        .filter(sessions::expires_at.gt(now))
        .select(SessionRow::as_select())
        .order((sessions::last_used_at.desc(), sessions::session_id))
        .fetch_all(connection)
        .await
}

/// Ends a session of `user_id`; returns whether it existed.
pub async fn end(
    connection: &mut Connection,
    user_id: UserId,
    session_id: SessionId,
) -> Result<bool> {
    let session = sessions::table
        .filter(sessions::user_id.eq(user_id.0))
        .filter(sessions::session_id.eq(session_id.0));
    diesel::delete(session).affects_rows(connection).await
}

/// Ends the session of `user_id` with this refresh token; returns its id.
pub async fn end_by_token(
    connection: &mut Connection,
    user_id: UserId,
    token_hash: &str,
) -> Result<Option<SessionId>> {
    let session = sessions::table
        .filter(sessions::user_id.eq(user_id.0))
        .filter(sessions::refresh_token.eq(token_hash));
    let session_id = diesel::delete(session)
        .returning(sessions::session_id)
        .get_result(connection)
        .await
        .optional()?;
    Ok(session_id.map(SessionId))
}

/// Ends all sessions of `user_id` except `kept`; returns their number.
pub async fn end_all(
    connection: &mut Connection,
    user_id: UserId,
    kept: Option<SessionId>,
) -> Result<usize> {
    let mut ended = diesel::delete(sessions::table)
        .filter(sessions::user_id.eq(user_id.0))
        .into_boxed();
    if let Some(kept) = kept {
        ended = ended.filter(sessions::session_id.ne(kept.0));
    }
    Ok(ended.execute(connection).await?)
}

/// Ends all sessions of `user_id` except the `kept` most recently used.
pub async fn end_oldest(connection: &mut Connection, user_id: UserId, kept: i64) -> Result<()> {
    let newest = sessions::table
        .filter(sessions::user_id.eq(user_id.0))
        .select(sessions::session_id)
        .order((sessions::last_used_at.desc(), sessions::session_id));
    let old: Vec<Uuid> = newest.offset(kept).load(connection).await?;
    if !old.is_empty() {
        let old = sessions::table.filter(sessions::session_id.eq_any(old));
        diesel::delete(old).execute(connection).await?;
    }
    Ok(())
}

/// Deletes the sessions that have expired at `now`; returns their number.
pub async fn delete_expired(connection: &mut Connection, now: DateTime<Utc>) -> Result<usize> {
    let expired = sessions::table.filter(sessions::expires_at.le(now));
    diesel::delete(expired).count_rows(connection).await
}

/// The live sessions, with their users.
#[diesel::dsl::auto_type]
fn live_at(now: DateTime<Utc>) -> _ {
    sessions::table
        .inner_join(users::table)
        .filter(sessions::expires_at.gt(now))
        .filter(users::is_active)
}

pub(crate) fn address(client: &ClientInfo) -> Option<String> {
    client.ip_address.map(|address| address.to_string())
}

/// Restores a client from its columns. An unreadable address is dropped.
pub(crate) fn client(ip_address: Option<String>, user_agent: Option<String>) -> ClientInfo {
    ClientInfo {
        ip_address: ip_address.and_then(|address| address.parse().ok()),
        user_agent,
    }
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = sessions, check_for_backend(Pg))]
struct SessionRow {
    session_id: Uuid,
    user_id: Uuid,
    expires_at: DateTime<Utc>,
    created_at: DateTime<Utc>,
    ends_at: DateTime<Utc>,
    last_used_at: DateTime<Utc>,
    ip_address: Option<String>,
    user_agent: Option<String>,
}

impl From<SessionRow> for Session {
    fn from(row: SessionRow) -> Self {
        Self {
            session_id: SessionId(row.session_id),
            user_id: UserId(row.user_id),
            created_at: row.created_at,
            expires_at: row.expires_at,
            ends_at: row.ends_at,
            last_used_at: row.last_used_at,
            client: client(row.ip_address, row.user_agent),
        }
    }
}
