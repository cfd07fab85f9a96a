use chrono::TimeDelta;
use serde_json::json;
use sovd_domain::{
    AccessChange, AuditEntry, AuditResult, ClientInfo, Session, SessionId, User, UserId,
    audit::Origin,
};
use sovd_storage::{
    StorageError, Transaction, audit,
    identity::{
        sessions::{
            self,
            spent::{self, SpentToken},
        },
        users,
    },
};

use super::{
    Auth, TokenPair,
    refresh_token::{self, RefreshToken},
};
use crate::error::{AuthFailure, Result};

/// How long a client that lost the response can retry and get the same successor.
const GRACE_PERIOD: TimeDelta = TimeDelta::seconds(10);

impl Auth {
    /// Exchanges a refresh token for new tokens of its session.
    ///
    /// The same client can repeat the exchange for ten seconds while the successor is unspent. Any other use
    /// of a spent token ends the session, because the token may have been stolen.
    ///
    /// # Errors
    ///
    /// [`AuthFailure::TokenInvalid`] if the token is unknown or expired; [`AuthFailure::SessionRevoked`] if it
    /// was spent; [`RateLimited`](crate::ServiceError::RateLimited) if the user sends too many requests.
    pub async fn refresh(&self, refresh_token: &str, origin: Origin) -> Result<TokenPair> {
        let (now, address) = (self.access.now(), origin.ip_address);
        let exchange = async |transaction: &mut Transaction| {
            self.exchange(transaction, refresh_token, origin).await
        };
        match self.access.database().transaction(exchange).await? {
            ExchangeOutcome::Tokens(tokens, user) => {
                // A long session keeps its address known for the next login.
                let counters = self.login_counters(&user.username, address);
                self.throttle.record_known_address(&counters, now).await;
                Ok(tokens)
            }
            ExchangeOutcome::Reused(session_id) => {
                self.credentials
                    .access_changed(AccessChange::Session { session_id });
                Err(AuthFailure::SessionRevoked.into())
            }
        }
    }

    async fn exchange(
        &self,
        transaction: &mut Transaction,
        refresh_token: &str,
        origin: Origin,
    ) -> Result<ExchangeOutcome> {
        let now = self.access.now();
        let hash = refresh_token::hash(refresh_token);
        if let Some(owner) = sessions::owner_of_token(transaction, &hash).await? {
            users::prevent_deletion(transaction, owner).await?;
        }
        if let Some(session) = sessions::lock_by_token(transaction, &hash, now).await? {
            return self
                .spend(transaction, session, refresh_token, origin)
                .await;
        }
        // Also reached after waiting for a concurrent exchange of the same token.
        let Some((spent, user_id)) = spent::find(transaction, &hash).await? else {
            return Err(AuthFailure::TokenInvalid.into());
        };
        users::prevent_deletion(transaction, user_id).await?;
        if now - spent.spent_at <= GRACE_PERIOD && spent.client == ClientInfo::from(&origin) {
            let next = RefreshToken::successor_of(refresh_token, &spent.successor_salt);
            // Found only while the successor is unspent.
            if let Some(session) = sessions::lock_by_token(transaction, &next.hash(), now).await? {
                return self.repeat(transaction, session, next, origin).await;
            }
        }
        self.end_reused_session(transaction, spent.session_id, user_id, origin)
            .await?;
        Ok(ExchangeOutcome::Reused(spent.session_id))
    }

    /// Replaces the token of the session with a successor.
    async fn spend(
        &self,
        transaction: &mut Transaction,
        mut session: Session,
        refresh_token: &str,
        origin: Origin,
    ) -> Result<ExchangeOutcome> {
        let now = self.access.now();
        let user = self.live_user(transaction, session.session_id).await?;
        let spent = SpentToken {
            session_id: session.session_id,
            spent_at: now,
            successor_salt: refresh_token::salt(self.random.as_ref()).to_vec(),
            client: ClientInfo::from(&origin),
        };
        let next = RefreshToken::successor_of(refresh_token, &spent.successor_salt);
        session.expires_at = (now + self.refresh_ttl).min(session.ends_at);
        session.last_used_at = now;
        session.client = ClientInfo::from(&origin);
        sessions::renew(transaction, &session, &next.hash()).await?;
        spent::insert(transaction, &refresh_token::hash(refresh_token), &spent).await?;
        let entry = entry(user.user_id, session.session_id, origin);
        audit::insert(transaction, &entry, now).await?;
        let tokens = self.tokens_for(&user, &session, next)?;
        Ok(ExchangeOutcome::Tokens(tokens, user))
    }

    /// Returns the unspent successor again.
    async fn repeat(
        &self,
        transaction: &mut Transaction,
        session: Session,
        next: RefreshToken,
        origin: Origin,
    ) -> Result<ExchangeOutcome> {
        let user = self.live_user(transaction, session.session_id).await?;
        let entry = AuditEntry {
            details: json!({ "repeated": true }),
            ..entry(user.user_id, session.session_id, origin)
        };
        audit::insert(transaction, &entry, self.access.now()).await?;
        let tokens = self.tokens_for(&user, &session, next)?;
        Ok(ExchangeOutcome::Tokens(tokens, user))
    }

    /// Returns the user of a session that has not ended, and counts the request.
    async fn live_user(
        &self,
        transaction: &mut Transaction,
        session_id: SessionId,
    ) -> Result<User> {
        let found = sessions::user_of(transaction, session_id, self.access.now()).await?;
        let (user, _) = found.ok_or(AuthFailure::SessionRevoked)?;
        self.limits.count_request(user.user_id).await?;
        Ok(user)
    }

    async fn end_reused_session(
        &self,
        transaction: &mut Transaction,
        session_id: SessionId,
        user_id: UserId,
        origin: Origin,
    ) -> Result<(), StorageError> {
        sessions::end(transaction, user_id, session_id).await?;
        let entry = AuditEntry {
            action: "refresh_token_reuse",
            result: AuditResult::Refused,
            ..entry(user_id, session_id, origin)
        };
        audit::insert(transaction, &entry, self.access.now()).await
    }
}

/// The outcome of an exchange.
enum ExchangeOutcome {
    Tokens(TokenPair, User),
    /// The token was reused, so the session has ended.
    Reused(SessionId),
}

fn entry(user_id: UserId, session_id: SessionId, origin: Origin) -> AuditEntry {
    AuditEntry {
        user_id: Some(user_id),
        entity_id: Some(session_id.0),
        origin,
        ..AuditEntry::new("auth.refresh", "session")
    }
}
