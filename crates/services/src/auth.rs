//! Logging in and out, and knowing who asks.

mod access_token;
mod password;
mod refresh_token;

use std::{sync::Arc, time::Duration};

use chrono::TimeDelta;
use secrecy::SecretString;
use serde_json::json;
use sovd_domain::{AuditEntry, AuditResult, SessionId, User, audit::Origin};
use sovd_storage::{audit, sessions, users};

use crate::{
    caller::Caller,
    environment::Environment,
    error::{AuthFailure, ServiceError},
    limits::Limits,
};
use access_token::{AccessTokens, Claims};
pub use access_token::{HmacAlgorithm, SigningKey};
use password::Passwords;
use refresh_token::RefreshToken;

/// Logs users in and out.
pub struct Auth {
    environment: Environment,
    access_tokens: AccessTokens,
    passwords: Passwords,
    refresh_ttl: TimeDelta,
    limits: Arc<Limits>,
}

/// How tokens are made.
pub struct AuthSettings {
    /// What signs access tokens.
    pub key: SigningKey,
    /// How long an access token is good for.
    pub access_ttl: Duration,
    /// How long a refresh token is good for.
    pub refresh_ttl: Duration,
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
    pub fn new(environment: Environment, settings: &AuthSettings, limits: Arc<Limits>) -> Self {
        Self {
            access_tokens: AccessTokens::new(&settings.key, settings.access_ttl),
            passwords: Passwords::new(settings.bcrypt_cost),
            refresh_ttl: TimeDelta::from_std(settings.refresh_ttl).unwrap_or(TimeDelta::MAX),
            environment,
            limits,
        }
    }

    /// Opens a session for whoever knows the password of `username`. The attempt stands in the
    /// audit trail either way.
    ///
    /// # Errors
    ///
    /// [`AuthFailure::InvalidCredentials`], after the same time whether or not the user exists.
    pub async fn login(
        &self,
        username: &str,
        password: SecretString,
        origin: Origin,
    ) -> Result<TokenPair, ServiceError> {
        let known = {
            let mut connection = self.environment.database.connection().await?;
            users::credentials_of(&mut connection, username).await?
        };
        let hash = known.as_ref().map(|known| known.password_hash.clone());
        let matches = self.passwords.verify(password, hash).await?;
        match known {
            Some(known) if matches => self.open_session(&known.user, origin).await,
            known => {
                self.record_refused_login(username, known.map(|known| known.user), origin)
                    .await?;
                Err(AuthFailure::InvalidCredentials.into())
            }
        }
    }

    /// Spends a refresh token and gives new tokens for its session.
    ///
    /// # Errors
    ///
    /// [`AuthFailure::TokenInvalid`] when it is unknown, spent or expired.
    pub async fn refresh(
        &self,
        refresh_token: &str,
        origin: Origin,
    ) -> Result<TokenPair, ServiceError> {
        let now = self.environment.clock.now();
        let next = RefreshToken::generate(self.environment.random.as_ref());
        let mut transaction = self.environment.database.begin().await?;
        let session_id = sessions::rotate(
            &mut transaction,
            &refresh_token::hash(refresh_token),
            &next.hash(),
            now,
            now + self.refresh_ttl,
        )
        .await?;
        let Some(session_id) = session_id else {
            transaction.rollback().await?;
            return Err(AuthFailure::TokenInvalid.into());
        };
        let user = sessions::user_of(&mut transaction, session_id, now)
            .await?
            .ok_or(AuthFailure::SessionRevoked)?;
        let entry = AuditEntry {
            user_id: Some(user.user_id),
            entity_id: Some(session_id.0),
            origin,
            ..AuditEntry::new("auth.refresh", "session")
        };
        audit::insert(&mut transaction, &entry, now).await?;
        let tokens = self.tokens_for(&user, session_id, next)?;
        transaction.commit().await?;
        Ok(tokens)
    }

    /// Ends the caller's session that holds `refresh_token`, or all of the caller's sessions.
    /// A session that has ended already is no error.
    ///
    /// # Errors
    ///
    /// When the database is away.
    pub async fn logout(
        &self,
        caller: &Caller,
        refresh_token: Option<&str>,
    ) -> Result<(), ServiceError> {
        let user_id = caller.user.user_id;
        let mut entry = caller.audit("auth.logout", "session");
        let mut transaction = self.environment.database.begin().await?;
        if let Some(refresh_token) = refresh_token {
            let hash = refresh_token::hash(refresh_token);
            let ended = sessions::end_by_token(&mut transaction, user_id, &hash).await?;
            entry.entity_id = ended.map(|session_id| session_id.0);
            entry.details = json!({ "sessions_ended": usize::from(ended.is_some()) });
        } else {
            let ended = sessions::end_all(&mut transaction, user_id).await?;
            entry.details = json!({ "sessions_ended": ended });
        }
        audit::insert(&mut transaction, &entry, self.environment.clock.now()).await?;
        transaction.commit().await?;
        Ok(())
    }

    /// Who holds `access_token`, as the database knows them now.
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
        let mut connection = self.environment.database.connection().await?;
        let user = sessions::user_of(&mut connection, session_id, now)
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

    async fn open_session(&self, user: &User, origin: Origin) -> Result<TokenPair, ServiceError> {
        let now = self.environment.clock.now();
        let session_id = SessionId(self.environment.random.uuid());
        let refresh_token = RefreshToken::generate(self.environment.random.as_ref());
        let token_hash = refresh_token.hash();
        let tokens = self.tokens_for(user, session_id, refresh_token)?;
        let session = sessions::NewSession {
            session_id,
            user_id: user.user_id,
            token_hash: &token_hash,
            expires_at: now + self.refresh_ttl,
            created_at: now,
        };
        let entry = AuditEntry {
            user_id: Some(user.user_id),
            entity_id: Some(session_id.0),
            origin,
            ..AuditEntry::new("auth.login", "session")
        };
        let mut transaction = self.environment.database.begin().await?;
        sessions::insert(&mut transaction, session).await?;
        audit::insert(&mut transaction, &entry, now).await?;
        transaction.commit().await?;
        Ok(tokens)
    }

    async fn record_refused_login(
        &self,
        username: &str,
        user: Option<User>,
        origin: Origin,
    ) -> Result<(), ServiceError> {
        let entry = AuditEntry {
            user_id: user.as_ref().map(|user| user.user_id),
            entity_id: user.map(|user| user.user_id.0),
            result: AuditResult::Refused,
            details: json!({ "username": username }),
            origin,
            ..AuditEntry::new("auth.login_failed", "user")
        };
        let mut connection = self.environment.database.connection().await?;
        audit::insert(&mut connection, &entry, self.environment.clock.now()).await?;
        Ok(())
    }

    fn tokens_for(
        &self,
        user: &User,
        session_id: SessionId,
        refresh_token: RefreshToken,
    ) -> Result<TokenPair, ServiceError> {
        let now = self.environment.clock.now();
        let claims = Claims {
            sub: user.user_id.0,
            sid: session_id.0,
            jti: self.environment.random.uuid(),
            role: user.role,
        };
        Ok(TokenPair {
            access_token: self.access_tokens.issue(claims, now)?,
            refresh_token: refresh_token.into_secret(),
            expires_in: self.access_tokens.ttl(),
        })
    }
}
