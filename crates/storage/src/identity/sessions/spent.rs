//! Refresh tokens that were exchanged for a successor.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use sovd_domain::{ClientInfo, SessionId, UserId};
use uuid::Uuid;

use super::{address, client};
use crate::{
    Connection, Result,
    schema::{sessions, spent_refresh_tokens},
    statement::Statement,
};

/// A refresh token that was exchanged for a successor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpentToken {
    /// The session.
    pub session_id: SessionId,
    /// When it was exchanged.
    pub spent_at: DateTime<Utc>,
    /// The salt from which, with the token itself, the successor is derived.
    pub successor_salt: Vec<u8>,
    /// The client that exchanged it.
    pub client: ClientInfo,
}

/// Records that the token with this hash is spent.
pub async fn insert(
    connection: &mut Connection,
    token_hash: &str,
    token: &SpentToken,
) -> Result<()> {
    diesel::insert_into(spent_refresh_tokens::table)
        .values((
            spent_refresh_tokens::token_hash.eq(token_hash),
            spent_refresh_tokens::session_id.eq(token.session_id.0),
            spent_refresh_tokens::spent_at.eq(token.spent_at),
            spent_refresh_tokens::successor_salt.eq(&token.successor_salt),
            spent_refresh_tokens::ip_address.eq(address(&token.client)),
            spent_refresh_tokens::user_agent.eq(&token.client.user_agent),
        ))
        .run(connection)
        .await
}

/// Finds the spent token with this hash and its user, while its session exists.
pub async fn find(
    connection: &mut Connection,
    token_hash: &str,
) -> Result<Option<(SpentToken, UserId)>> {
    let row: Option<SpentRow> = spent_refresh_tokens::table
        .inner_join(sessions::table)
        .filter(spent_refresh_tokens::token_hash.eq(token_hash))
        .select((
            spent_refresh_tokens::session_id,
            spent_refresh_tokens::spent_at,
            spent_refresh_tokens::successor_salt,
            spent_refresh_tokens::ip_address,
            spent_refresh_tokens::user_agent,
            sessions::user_id,
        ))
        .first(connection)
        .await
        .optional()?;
    Ok(row.map(SpentRow::into_token))
}

#[derive(Queryable)]
struct SpentRow {
    session_id: Uuid,
    spent_at: DateTime<Utc>,
    successor_salt: Vec<u8>,
    ip_address: Option<String>,
    user_agent: Option<String>,
    user_id: Uuid,
}

impl SpentRow {
    fn into_token(self) -> (SpentToken, UserId) {
        let token = SpentToken {
            session_id: SessionId(self.session_id),
            spent_at: self.spent_at,
            successor_salt: self.successor_salt,
            client: client(self.ip_address, self.user_agent),
        };
        (token, UserId(self.user_id))
    }
}
