use std::net::IpAddr;

use chrono::{DateTime, Utc};

use crate::{
    audit::Origin,
    ids::{SessionId, UserId},
};

/// A session: the tokens issued since one login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Identifies the session.
    pub session_id: SessionId,
    /// The user who logged in.
    pub user_id: UserId,
    /// The time of the login.
    pub created_at: DateTime<Utc>,
    /// When its refresh token expires, and with it the session.
    pub expires_at: DateTime<Utc>,
    /// The limit past which a refresh cannot extend the session.
    pub ends_at: DateTime<Utc>,
    /// When one of its tokens was last used, with a resolution of one minute.
    pub last_used_at: DateTime<Utc>,
    /// The client that obtained the latest tokens.
    pub client: ClientInfo,
}

/// Describes a client, as far as it is known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClientInfo {
    /// The IP address.
    pub ip_address: Option<IpAddr>,
    /// The `User-Agent` header.
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
