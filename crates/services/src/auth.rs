//! Logging in and out, and knowing who asks.

mod access_token;
mod login;
mod new_password;
mod own_password;
mod own_sessions;
mod password;
mod places;
mod refresh;
mod refresh_token;
mod signing_key;

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use secrecy::SecretString;
use sovd_domain::{AuditEntry, ClientMark, Session, SessionId, User, audit::Origin};
use sovd_storage::{
    StorageError, audit, sessions,
    users::{self, Credentials},
};

use crate::{
    caller::Caller,
    environment::Environment,
    error::{AuthFailure, ServiceError},
    limits::Limits,
};
use access_token::{AccessTokens, Claims};
pub use new_password::{NewPassword, PasswordRefused};
pub use password::Passwords;
use refresh_token::RefreshToken;
pub use signing_key::{SignatureAlgorithm, SigningKeyError, SigningKeys};

/// How closely the last use of a session is kept.
const USE_RESOLUTION: Duration = Duration::from_mins(1);

/// Logs users in and out.
pub struct Auth {
    environment: Environment,
    access_tokens: AccessTokens,
    passwords: Arc<Passwords>,
    refresh_ttl: TimeDelta,
    session_ttl: TimeDelta,
    limits: Arc<Limits>,
}

/// How tokens are made.
pub struct AuthSettings {
    /// What signs access tokens.
    pub keys: SigningKeys,
    /// How long an access token is good for.
    pub access_ttl: Duration,
    /// How far the clock of another server, whose tokens are ours too, may be from this one's.
    pub leeway: Duration,
    /// How long a refresh token is good for.
    pub refresh_ttl: Duration,
    /// How long a session lasts however often it is refreshed.
    pub session_ttl: Duration,
    /// The cost of a bcrypt hash, as the power of two.
    pub bcrypt_cost: u32,
}

/// What a login or a refresh gives.
#[derive(Debug)]
pub struct TokenPair {
    /// A JWT (RFC 7519) for the `Authorization` header.
    pub access_token: SecretString,
    /// Good for one refresh.
    pub refresh_token: SecretString,
    /// How long the access token is good for.
    pub expires_in: Duration,
}

impl Auth {
    /// An authentication service.
    pub fn new(environment: Environment, settings: AuthSettings, limits: Arc<Limits>) -> Self {
        Self {
            access_tokens: AccessTokens::new(settings.keys, settings.access_ttl, settings.leeway),
            passwords: Arc::new(Passwords::new(settings.bcrypt_cost)),
            refresh_ttl: TimeDelta::from_std(settings.refresh_ttl).unwrap_or(TimeDelta::MAX),
            session_ttl: TimeDelta::from_std(settings.session_ttl).unwrap_or(TimeDelta::MAX),
            environment,
            limits,
        }
    }

    /// What hashes passwords. Whoever else does shares it, because its places are few.
    pub fn passwords(&self) -> Arc<Passwords> {
        Arc::clone(&self.passwords)
    }

    /// Who holds `access_token`, as the database knew them a few seconds ago at most.
    ///
    /// # Errors
    ///
    /// [`AuthFailure::TokenExpired`], [`AuthFailure::TokenInvalid`], or
    /// [`AuthFailure::SessionRevoked`] when the user has logged out since;
    /// [`ServiceError::RateLimited`] when the user asks too much at once.
    pub async fn authenticate(
        &self,
        access_token: &str,
        origin: Origin,
    ) -> Result<Caller, ServiceError> {
        let now = self.environment.clock.now();
        let (claims, expires_at) = self.access_tokens.verify(access_token, now)?;
        let session_id = SessionId(claims.sid);
        let user = self
            .environment
            .callers
            .user_of(session_id, now, self.look_up(session_id, now))
            .await?
            .filter(|user| user.user_id.0 == claims.sub)
            .ok_or(AuthFailure::SessionRevoked)?;
        self.limits.count_request(user.user_id)?;
        Ok(Caller {
            user,
            session_id,
            expires_at,
            origin,
        })
    }

    /// Whose session it is, as the database knows it; notes that it was used.
    async fn look_up(
        &self,
        session_id: SessionId,
        now: DateTime<Utc>,
    ) -> Result<Option<User>, StorageError> {
        let mut connection = self.environment.database.connection().await?;
        let Some((user, last_used_at)) =
            sessions::user_of(&mut connection, session_id, now).await?
        else {
            return Ok(None);
        };
        if last_used_at + USE_RESOLUTION <= now {
            sessions::touch(&mut connection, session_id, now).await?;
        }
        Ok(Some(user))
    }

    /// Opens a session, unless the password was changed or the account disabled since `known` was
    /// read: whoever did that has ended the sessions that there were.
    async fn open_session(
        &self,
        known: &Credentials,
        origin: Origin,
    ) -> Result<TokenPair, ServiceError> {
        let user = &known.user;
        let now = self.environment.clock.now();
        let ends_at = now + self.session_ttl;
        let session = Session {
            session_id: SessionId(self.environment.random.uuid()),
            user_id: user.user_id,
            created_at: now,
            expires_at: (now + self.refresh_ttl).min(ends_at),
            ends_at,
            last_used_at: now,
            client: ClientMark::from(&origin),
        };
        let refresh_token = RefreshToken::generate(self.environment.random.as_ref());
        let token_hash = refresh_token.hash();
        let tokens = self.tokens_for(user, &session, refresh_token)?;
        let entry = AuditEntry {
            user_id: Some(user.user_id),
            entity_id: Some(session.session_id.0),
            origin,
            ..AuditEntry::new("auth.login", "session")
        };
        let mut transaction = self.environment.database.begin().await?;
        if !users::hold(&mut transaction, known).await? {
            transaction.rollback().await?;
            return Err(AuthFailure::InvalidCredentials.into());
        }
        sessions::insert(&mut transaction, &session, &token_hash).await?;
        audit::insert(&mut transaction, &entry, now).await?;
        transaction.commit().await?;
        Ok(tokens)
    }

    fn tokens_for(
        &self,
        user: &User,
        session: &Session,
        refresh_token: RefreshToken,
    ) -> Result<TokenPair, ServiceError> {
        let now = self.environment.clock.now();
        let claims = Claims {
            sub: user.user_id.0,
            sid: session.session_id.0,
            jti: self.environment.random.uuid(),
            role: user.role,
        };
        let left = (session.ends_at - now).to_std().unwrap_or_default();
        let expires_in = self.access_tokens.ttl().min(left);
        Ok(TokenPair {
            access_token: self.access_tokens.issue(claims, now, expires_in)?,
            refresh_token: refresh_token.into_secret(),
            expires_in,
        })
    }
}
