//! Authentication: logins, sessions, tokens and API keys.

mod access_token;
mod api_key;
mod authenticate;
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

use std::{sync::Arc, time::Duration};

use chrono::TimeDelta;
use secrecy::SecretString;
use sovd_domain::{AuditEntry, ClientInfo, Random, Session, SessionId, User, audit::Origin};
use sovd_events::FailureCounters;
use sovd_storage::{
    Transaction, audit,
    identity::{
        sessions,
        users::{self, Credentials},
    },
};

use crate::{
    error::Result,
    identity::{access::Access, credential_cache::CredentialCache},
    limits::Limits,
};
use access_token::{AccessTokens, Claims};
pub(crate) use api_key::ApiKey;
pub use jsonwebtoken::Algorithm as SignatureAlgorithm;
pub use new_password::{NewPassword, PasswordRefused};
pub use password::Passwords;
use refresh_token::RefreshToken;
pub use signing_key::{SigningKeyError, SigningKeys};
use throttle::Throttle;
pub use throttle::ThrottleSettings;
use username_digest::UsernameDigest;

/// The maximum number of sessions per user. Beyond it the least recently used sessions end.
const MAX_SESSIONS: i64 = 100;

/// Authenticates callers and manages their sessions.
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

/// The settings of [`Auth`].
pub struct AuthSettings {
    /// The keys that sign and verify access tokens.
    pub keys: SigningKeys,
    /// The lifetime of an access token.
    pub access_ttl: Duration,
    /// The tolerated clock skew between servers.
    pub leeway: Duration,
    /// The lifetime of a refresh token.
    pub refresh_ttl: Duration,
    /// The maximum lifetime of a session.
    pub session_ttl: Duration,
    /// The base-2 logarithm of the number of bcrypt rounds.
    pub bcrypt_cost: u32,
    /// The throttling of failed logins.
    pub throttle: ThrottleSettings,
}

/// The tokens of a session.
#[derive(Debug)]
pub struct TokenPair {
    /// A JWT (RFC 7519) for the `Authorization` header.
    pub access_token: SecretString,
    /// Valid for one refresh.
    pub refresh_token: SecretString,
    /// The lifetime of the access token.
    pub expires_in: Duration,
}

impl Auth {
    /// Creates the service.
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

    /// Returns the password hasher, which all services share because its permits are limited.
    pub fn passwords(&self) -> Arc<Passwords> {
        Arc::clone(&self.passwords)
    }

    /// Opens a session. Returns `None` if the password was changed or the account disabled since `known`
    /// was read.
    async fn open_session(&self, known: &Credentials, origin: Origin) -> Result<Option<TokenPair>> {
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
            if !users::lock_with_hash(transaction, known).await? {
                return Ok(None);
            }
            sessions::insert(transaction, &session, &token_hash).await?;
            sessions::end_oldest(transaction, user.user_id, MAX_SESSIONS).await?;
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
    ) -> Result<TokenPair> {
        let now = self.access.now();
        let claims = Claims {
            sub: user.user_id.0,
            sid: session.session_id.0,
            jti: self.random.uuid(),
            role: user.role,
        };
        let remaining = (session.ends_at - now).to_std().unwrap_or_default();
        let expires_in = self.access_tokens.ttl().min(remaining);
        Ok(TokenPair {
            access_token: self.access_tokens.issue(claims, now, expires_in)?,
            refresh_token: refresh_token.into_secret(),
            expires_in,
        })
    }
}
