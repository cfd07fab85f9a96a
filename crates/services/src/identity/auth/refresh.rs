use chrono::{DateTime, TimeDelta, Utc};
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
use crate::error::{AuthFailure, ServiceError};

/// For how long the same client gets the same, unspent successor again, as after a lost answer.
const GRACE: TimeDelta = TimeDelta::seconds(10);

impl Auth {
    /// Spends a refresh token and gives new tokens for its session. The client that spent it gets
    /// the same refresh token again for ten seconds, as long as that one is unspent. In every other
    /// case a spent token ends the session, because one of its holders has stolen it.
    ///
    /// # Errors
    ///
    /// [`AuthFailure::TokenInvalid`] when it is unknown or expired;
    /// [`AuthFailure::SessionRevoked`] when it was spent before; [`ServiceError::RateLimited`] when the
    /// user asks too much at once.
    pub async fn refresh(
        &self,
        refresh_token: &str,
        origin: Origin,
    ) -> Result<TokenPair, ServiceError> {
        let (now, address) = (self.access.now(), origin.ip_address);
        let exchange = async |transaction: &mut Transaction| {
            self.exchange(transaction, refresh_token, origin).await
        };
        match self.access.database().transaction(exchange).await? {
            Exchanged::Tokens(tokens, user) => {
                // Whoever lives by refreshing is no stranger at the next login.
                let guess = self.guess(&user.username, address);
                self.throttle.remember_address(&guess, now).await;
                Ok(tokens)
            }
            Exchanged::Theft(session_id) => {
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
    ) -> Result<Exchanged, ServiceError> {
        let now = self.access.now();
        let hash = refresh_token::hash(refresh_token);
        if let Some(owner) = sessions::owner_of_token(transaction, &hash).await? {
            users::keep(transaction, owner).await?;
        }
        if let Some(session) = sessions::lock_by_token(transaction, &hash, now).await? {
            return self
                .spend(transaction, session, refresh_token, origin)
                .await;
        }
        // Whoever waited for the one who spent it sees that now.
        let Some((spent, user_id)) = spent::find(transaction, &hash).await? else {
            return Err(AuthFailure::TokenInvalid.into());
        };
        users::keep(transaction, user_id).await?;
        if now - spent.spent_at <= GRACE && spent.client == ClientInfo::from(&origin) {
            let next = RefreshToken::successor_of(refresh_token, &spent.successor_salt);
            // A client that has spent the successor has received it and needs no second copy.
            if let Some(session) = sessions::lock_by_token(transaction, &next.hash(), now).await? {
                return self.repeat(transaction, session, next, origin).await;
            }
        }
        self.end_stolen(transaction, spent.session_id, user_id, origin)
            .await?;
        Ok(Exchanged::Theft(spent.session_id))
    }

    /// Puts a successor in the place of the token that the session holds.
    async fn spend(
        &self,
        transaction: &mut Transaction,
        mut session: Session,
        refresh_token: &str,
        origin: Origin,
    ) -> Result<Exchanged, ServiceError> {
        let now = self.access.now();
        let user = live_user(transaction, session.session_id, now).await?;
        self.limits.count_request(user.user_id).await?;
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
        Ok(Exchanged::Tokens(tokens, user))
    }

    /// Returns the unspent successor of a token that was spent a moment ago once more.
    async fn repeat(
        &self,
        transaction: &mut Transaction,
        session: Session,
        next: RefreshToken,
        origin: Origin,
    ) -> Result<Exchanged, ServiceError> {
        let now = self.access.now();
        let user = live_user(transaction, session.session_id, now).await?;
        self.limits.count_request(user.user_id).await?;
        let entry = AuditEntry {
            details: json!({ "repeated": true }),
            ..entry(user.user_id, session.session_id, origin)
        };
        audit::insert(transaction, &entry, now).await?;
        let tokens = self.tokens_for(&user, &session, next)?;
        Ok(Exchanged::Tokens(tokens, user))
    }

    async fn end_stolen(
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

/// What a refresh token was exchanged for.
enum Exchanged {
    Tokens(TokenPair, User),
    /// Nothing: somebody has it who should not, and the session is over.
    Theft(SessionId),
}

async fn live_user(
    transaction: &mut Transaction,
    session_id: SessionId,
    now: DateTime<Utc>,
) -> Result<User, ServiceError> {
    match sessions::user_of(transaction, session_id, now).await? {
        Some((user, _)) => Ok(user),
        None => Err(AuthFailure::SessionRevoked.into()),
    }
}

fn entry(user_id: UserId, session_id: SessionId, origin: Origin) -> AuditEntry {
    AuditEntry {
        user_id: Some(user_id),
        entity_id: Some(session_id.0),
        origin,
        ..AuditEntry::new("auth.refresh", "session")
    }
}
