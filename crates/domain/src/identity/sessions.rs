//! Logins that have not ended.

use std::net::IpAddr;

use chrono::{DateTime, Utc};

use crate::{
    audit::Origin,
    ids::{SessionId, UserId},
};

/// A login, from its first token to its last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Identifies it.
    pub session_id: SessionId,
    /// Who logged in.
    pub user_id: UserId,
    /// The moment of the login.
    pub created_at: DateTime<Utc>,
    /// When its refresh token ends, and with it the session.
    pub expires_at: DateTime<Utc>,
    /// The moment past which no refresh prolongs it.
    pub ends_at: DateTime<Utc>,
    /// When a token of it was last seen, to the minute.
    pub last_used_at: DateTime<Utc>,
    /// Where its last token was fetched from.
    pub client: ClientInfo,
}

/// What a client can be recognised by, as far as it can be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClientInfo {
    /// Its address.
    pub ip_address: Option<IpAddr>,
    /// What it calls itself.
    pub user_agent: Option<String>,
}

impl From<&Origin> for ClientInfo {
    fn from(origin: &Origin) -> Self {
        Self {
            ip_address: origin.ip_address,
            user_agent: origin.user_agent.clone(),
        }
    }
}
