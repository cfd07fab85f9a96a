use serde_json::json;
use sovd_domain::{AccessChange, Session, SessionId, UserId};
use sovd_storage::{
    StorageError, Transaction, audit,
    identity::{
        sessions::{self, spent},
        users,
    },
};

use super::{Auth, refresh_token};
use crate::{
    audit::refusals::Concealed,
    error::{AuthFailure, Result, ServiceError},
    identity::caller::Caller,
};

impl Auth {
    /// Lists the caller's sessions, most recently used first.
    pub async fn sessions(&self, caller: &Caller) -> Result<Vec<Session>> {
        let now = self.access.now();
        let mut connection = self.access.connection().await?;
        Ok(sessions::list(&mut connection, caller.user.user_id, now).await?)
    }

    /// Ends one of the caller's sessions. Attempts to end sessions of other users are audited.
    pub async fn end_session(&self, caller: &Caller, session_id: SessionId) -> Result<()> {
        let entry = caller.audit_of("session.end", "session", session_id.0);
        let user_id = caller.user.user_id;
        let end = async |transaction: &mut Transaction, (), now| {
            if !sessions::end(transaction, user_id, session_id).await? {
                return Err(UNKNOWN);
            }
            Ok(audit::insert(transaction, &entry, now).await?)
        };
        let lock = lock_user(user_id);
        let ended = self.access.change_with_locks(caller, lock, end).await;
        if matches!(ended, Err(ServiceError::NotFound { .. })) {
            let object = Concealed::Session(session_id);
            return Err(self.access.missing(caller, object, entry.action).await);
        }
        ended?;
        self.credentials
            .access_changed(AccessChange::Session { session_id });
        Ok(())
    }

    /// Ends the caller's session with `refresh_token`, or all sessions of the caller. An unknown token or a
    /// session that has ended already is not an error, but a deleted caller is.
    pub async fn logout(&self, caller: &Caller, refresh_token: Option<&str>) -> Result<()> {
        let user_id = caller.user.user_id;
        let mut entry = caller.audit("auth.logout", "session");
        let end = async |transaction: &mut Transaction, (), now| {
            if let Some(refresh_token) = refresh_token {
                let hash = refresh_token::hash(refresh_token);
                let ended = end_by_token(transaction, user_id, &hash).await?;
                entry.entity_id = ended.map(|session_id| session_id.0);
                entry.details = json!({ "sessions_ended": usize::from(ended.is_some()) });
            } else {
                let ended = sessions::end_all(transaction, user_id, None).await?;
                entry.details = json!({ "sessions_ended": ended });
            }
            Ok(audit::insert(transaction, &entry, now).await?)
        };
        let lock = lock_user(user_id);
        let ended = self.access.change_with_locks(caller, lock, end).await;
        self.credentials
            .access_changed(AccessChange::User { user_id });
        if let Err(ServiceError::NotAuthenticated(AuthFailure::SessionRevoked)) = ended {
            // Another logout or a revocation came first, unless the user was deleted.
            let mut connection = self.access.connection().await?;
            if users::find(&mut connection, user_id).await?.is_some() {
                return Ok(());
            }
        }
        ended
    }
}

const UNKNOWN: ServiceError = ServiceError::not_found("session", None);

/// Returns a lock on the user, which must precede locks on their sessions. Two transactions that each lock
/// their own session and end the other's would deadlock without it.
fn lock_user(user_id: UserId) -> impl AsyncFnOnce(&mut Transaction) -> Result<()> {
    async move |transaction| Ok(users::lock_exclusively(transaction, user_id).await?)
}

/// Ends the session of a token, even of a spent one: the client may not have received its successor.
async fn end_by_token(
    transaction: &mut Transaction,
    user_id: UserId,
    hash: &str,
) -> Result<Option<SessionId>, StorageError> {
    if let Some(ended) = sessions::end_by_token(transaction, user_id, hash).await? {
        return Ok(Some(ended));
    }
    match spent::find(transaction, hash).await? {
        Some((token, owner)) if owner == user_id => {
            let is_ended = sessions::end(transaction, user_id, token.session_id).await?;
            Ok(is_ended.then_some(token.session_id))
        }
        _ => Ok(None),
    }
}
