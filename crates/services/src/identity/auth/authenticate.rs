use std::{net::IpAddr, time::Duration};

use chrono::{DateTime, Utc};
use sovd_domain::{SessionId, audit::Origin};
use sovd_storage::{
    StorageError,
    identity::{service_accounts, sessions},
};

use super::{ApiKey, Auth};
use crate::{
    error::{AuthFailure, Result},
    identity::{
        caller::{Caller, Credential},
        credential_cache::CachedIdentity,
    },
};

/// The resolution at which the last use of a session or key is recorded.
const USE_RESOLUTION: Duration = Duration::from_mins(1);

impl Auth {
    /// Authenticates an access token or an API key. The identity may be a few seconds old.
    ///
    /// # Errors
    ///
    /// [`AuthFailure::TokenExpired`]; [`AuthFailure::TokenInvalid`]; [`AuthFailure::SessionRevoked`] if the
    /// session has ended; [`RateLimited`](crate::ServiceError::RateLimited) if the user sends too many requests.
    pub async fn authenticate(&self, credential: &str, origin: Origin) -> Result<Caller> {
        let caller = match ApiKey::hash_of(credential) {
            Some(hash) => self.authenticate_key(hash, origin).await?,
            None => self.authenticate_token(credential, origin).await?,
        };
        self.limits.count_request(caller.user.user_id).await?;
        Ok(caller)
    }

    async fn authenticate_token(&self, token: &str, origin: Origin) -> Result<Caller> {
        let now = self.access.now();
        let (claims, expires_at) = self.access_tokens.verify(token, now)?;
        let session_id = SessionId(claims.sid);
        let credential = Credential::Session(session_id);
        let identity = self
            .credentials
            .get_or_load(&credential, now, self.load_session(session_id, now))
            .await?
            .filter(|identity| identity.user.user_id.0 == claims.sub)
            .ok_or(AuthFailure::SessionRevoked)?;
        Ok(Caller {
            user: identity.user,
            credential,
            scope: identity.scope,
            admitted: Vec::new(),
            expires_at,
            origin,
        })
    }

    async fn authenticate_key(&self, hash: String, origin: Origin) -> Result<Caller> {
        let now = self.access.now();
        let load = self.load_key(&hash, now, origin.ip_address);
        let credential = Credential::ApiKey(hash.clone());
        let identity = self
            .credentials
            .get_or_load(&credential, now, load)
            .await?
            .filter(|identity| identity.expires_at.is_none_or(|end| now < end))
            .ok_or(AuthFailure::TokenInvalid)?;
        Ok(Caller {
            expires_at: identity.expires_at.unwrap_or(now),
            user: identity.user,
            credential,
            scope: identity.scope,
            admitted: Vec::new(),
            origin,
        })
    }

    /// Loads the account of a valid key, and records the use.
    async fn load_key(
        &self,
        hash: &str,
        now: DateTime<Utc>,
        from: Option<IpAddr>,
    ) -> Result<Option<CachedIdentity>, StorageError> {
        let mut connection = self.access.connection().await?;
        let Some(account) = service_accounts::find_by_key(&mut connection, hash, now).await? else {
            return Ok(None);
        };
        let is_recorded = |used: DateTime<Utc>| now < used + USE_RESOLUTION;
        if !account.last_used_at.is_some_and(is_recorded) {
            service_accounts::touch(&mut connection, account.user.user_id, now, from).await?;
        }
        Ok(Some(CachedIdentity {
            user: account.user,
            scope: Some(account.scope),
            expires_at: Some(account.expires_at),
        }))
    }

    /// Loads the user of a live session, and records the use.
    async fn load_session(
        &self,
        session_id: SessionId,
        now: DateTime<Utc>,
    ) -> Result<Option<CachedIdentity>, StorageError> {
        let mut connection = self.access.connection().await?;
        let Some((user, last_used_at)) =
            sessions::user_of(&mut connection, session_id, now).await?
        else {
            return Ok(None);
        };
        if last_used_at + USE_RESOLUTION <= now {
            sessions::touch(&mut connection, session_id, now).await?;
        }
        Ok(Some(CachedIdentity {
            user,
            scope: None,
            expires_at: None,
        }))
    }
}
