//! Logging in and out, and knowing who asks.

mod access_token;
mod api_key;
pub(crate) mod hashing_permits;
mod login;
mod new_password;
mod own_password;
mod own_sessions;
mod password;
mod refresh;
mod refresh_token;
mod signing_key;
mod throttle;
mod username_digest;

use std::{net::IpAddr, sync::Arc, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use secrecy::SecretString;
use sovd_domain::{AuditEntry, ClientInfo, Random, Session, SessionId, User, audit::Origin};
use sovd_events::FailureCounters;
use sovd_storage::{
    StorageError, Transaction, audit,
    identity::{
        service_accounts, sessions,
        users::{self, Credentials},
    },
};

use crate::{
    error::{AuthFailure, ServiceError},
    identity::{
        access::Access,
        caller::{Caller, Credential},
        credential_cache::{CachedIdentity, CredentialCache},
    },
    limits::Limits,
};
use access_token::{AccessTokens, Claims};
pub(crate) use api_key::ApiKey;
pub use new_password::{NewPassword, PasswordRefused};
pub use password::Passwords;
use refresh_token::RefreshToken;
pub use signing_key::{SignatureAlgorithm, SigningKeyError, SigningKeys};

/// How many sessions a user may have; of more, those that were not used for longest end.
const SESSIONS: i64 = 100;

/// How closely the last use of a session is kept.
const USE_RESOLUTION: Duration = Duration::from_mins(1);
use throttle::Throttle;
pub use throttle::ThrottleSettings;
use username_digest::UsernameDigest;

/// Logs users in and out.
pub struct Auth {
    access: Access,
    credentials: CredentialCache,
    random: Arc<dyn Random>,
    access_tokens: AccessTokens,
    passwords: Arc<Passwords>,
    username_digest: UsernameDigest,
    throttle: Throttle,
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
    /// When logins are held up.
    pub throttle: ThrottleSettings,
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
    pub fn new(
        access: Access,
        credentials: CredentialCache,
        failure_counters: Arc<dyn FailureCounters>,
        random: Arc<dyn Random>,
        settings: AuthSettings,
        limits: Arc<Limits>,
    ) -> Self {
        Self {
            username_digest: settings.keys.username_digest(),
            access_tokens: AccessTokens::new(settings.keys, settings.access_ttl, settings.leeway),
            passwords: Arc::new(Passwords::new(settings.bcrypt_cost)),
            throttle: Throttle::new(failure_counters, settings.throttle),
            refresh_ttl: TimeDelta::from_std(settings.refresh_ttl).unwrap_or(TimeDelta::MAX),
            session_ttl: TimeDelta::from_std(settings.session_ttl).unwrap_or(TimeDelta::MAX),
            access,
            credentials,
            random,
            limits,
        }
    }

    /// What hashes passwords. Whoever else does shares it, because its places are few.
    pub fn passwords(&self) -> Arc<Passwords> {
        Arc::clone(&self.passwords)
    }

    /// Who holds `credential`, an access token or the key of a service account, as the database knew
    /// them a few seconds ago at most.
    ///
    /// # Errors
    ///
    /// [`AuthFailure::TokenExpired`], [`AuthFailure::TokenInvalid`], or
    /// [`AuthFailure::SessionRevoked`] when the user has logged out since;
    /// [`ServiceError::RateLimited`] when the user asks too much at once.
    pub async fn authenticate(
        &self,
        credential: &str,
        origin: Origin,
    ) -> Result<Caller, ServiceError> {
        let caller = match ApiKey::hash_of(credential) {
            Some(hash) => self.holder_of_key(hash, origin).await?,
            None => self.holder_of_token(credential, origin).await?,
        };
        self.limits.count_request(caller.user.user_id).await?;
        Ok(caller)
    }

    async fn holder_of_token(&self, token: &str, origin: Origin) -> Result<Caller, ServiceError> {
        let now = self.access.now();
        let (claims, expires_at) = self.access_tokens.verify(token, now)?;
        let session_id = SessionId(claims.sid);
        let credential = Credential::Session(session_id);
        let holder = self
            .credentials
            .holder_of(&credential, now, self.look_up(session_id, now))
            .await?
            .filter(|holder| holder.user.user_id.0 == claims.sub)
            .ok_or(AuthFailure::SessionRevoked)?;
        Ok(Caller {
            user: holder.user,
            credential,
            scope: holder.scope,
            admitted: Vec::new(),
            expires_at,
            origin,
        })
    }

    async fn holder_of_key(&self, hash: String, origin: Origin) -> Result<Caller, ServiceError> {
        let now = self.access.now();
        let looking = self.look_up_key(&hash, now, origin.ip_address);
        let credential = Credential::ApiKey(hash.clone());
        let holder = self
            .credentials
            .holder_of(&credential, now, looking)
            .await?
            .filter(|holder| holder.expires_at.is_none_or(|end| now < end))
            .ok_or(AuthFailure::TokenInvalid)?;
        Ok(Caller {
            expires_at: holder.expires_at.unwrap_or(now),
            user: holder.user,
            credential,
            scope: holder.scope,
            admitted: Vec::new(),
            origin,
        })
    }

    /// Whose key it is, as the database knows it; notes that it was used.
    async fn look_up_key(
        &self,
        hash: &str,
        now: DateTime<Utc>,
        from: Option<IpAddr>,
    ) -> Result<Option<CachedIdentity>, StorageError> {
        let mut connection = self.access.connection().await?;
        let Some(account) = service_accounts::find_by_key(&mut connection, hash, now).await? else {
            return Ok(None);
        };
        let is_noted = |used: DateTime<Utc>| now < used + USE_RESOLUTION;
        if !account.last_used_at.is_some_and(is_noted) {
            service_accounts::touch(&mut connection, account.user.user_id, now, from).await?;
        }
        Ok(Some(CachedIdentity {
            user: account.user,
            scope: Some(account.scope),
            expires_at: Some(account.expires_at),
        }))
    }

    /// Whose session it is, as the database knows it; notes that it was used.
    async fn look_up(
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

    /// Opens a session; nothing when the password was changed or the account disabled since `known`
    /// was read, because whoever did that has ended the sessions that there were.
    async fn open_session(
        &self,
        known: &Credentials,
        origin: Origin,
    ) -> Result<Option<TokenPair>, ServiceError> {
        let user = &known.user;
        let now = self.access.now();
        let ends_at = now + self.session_ttl;
        let session = Session {
            session_id: SessionId(self.random.uuid()),
            user_id: user.user_id,
            created_at: now,
            expires_at: (now + self.refresh_ttl).min(ends_at),
            ends_at,
            last_used_at: now,
            client: ClientInfo::from(&origin),
        };
        let refresh_token = RefreshToken::generate(self.random.as_ref());
        let token_hash = refresh_token.hash();
        let tokens = self.tokens_for(user, &session, refresh_token)?;
        let entry = AuditEntry {
            user_id: Some(user.user_id),
            entity_id: Some(session.session_id.0),
            origin,
            ..AuditEntry::new("auth.login", "session")
        };
        let open = async |transaction: &mut Transaction| {
            if !users::hold(transaction, known).await? {
                return Ok(None);
            }
            sessions::insert(transaction, &session, &token_hash).await?;
            sessions::end_oldest(transaction, user.user_id, SESSIONS).await?;
            audit::insert(transaction, &entry, now).await?;
            Ok(Some(tokens))
        };
        self.access.database().transaction(open).await
    }

    fn tokens_for(
        &self,
        user: &User,
        session: &Session,
        refresh_token: RefreshToken,
    ) -> Result<TokenPair, ServiceError> {
        let now = self.access.now();
        let claims = Claims {
            sub: user.user_id.0,
            sid: session.session_id.0,
            jti: self.random.uuid(),
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
