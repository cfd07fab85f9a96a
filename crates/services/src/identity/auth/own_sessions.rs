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
use crate::{audit::refusals::Hidden, error::ServiceError, identity::caller::Caller};

impl Auth {
    /// The caller's sessions that have not ended, last used first.
    ///
    /// # Errors
    ///
    /// When the database is away.
    pub async fn sessions(&self, caller: &Caller) -> Result<Vec<Session>, ServiceError> {
        let now = self.environment.clock.now();
        let mut connection = self.environment.database.connection().await?;
        Ok(sessions::list(&mut connection, caller.user.user_id, now).await?)
    }

    /// Ends one of the caller's sessions. Whoever tries to end another's is told that there is none,
    /// and it is written down.
    ///
    /// # Errors
    ///
    /// [`ServiceError::NotFound`] when the caller has no such session.
    pub async fn end_session(
        &self,
        caller: &Caller,
        session_id: SessionId,
    ) -> Result<(), ServiceError> {
        let mut entry = caller.audit("session.end", "session");
        entry.entity_id = Some(session_id.0);
        let mut transaction = self.environment.database.begin().await?;
        users::keep(&mut transaction, caller.user.user_id).await?;
        if !sessions::end(&mut transaction, caller.user.user_id, session_id).await? {
            transaction.rollback().await?;
            let hidden = Hidden::Session(session_id);
            self.environment
                .note_missing(caller, hidden, entry.action)
                .await?;
            return Err(ServiceError::NotFound {
                what: "session",
                pointer: None,
            });
        }
        audit::insert(&mut transaction, &entry, self.environment.clock.now()).await?;
        transaction.commit().await?;
        self.environment
            .access_changed(AccessChange::Session { session_id });
        Ok(())
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
        users::keep(&mut transaction, user_id).await?;
        if let Some(refresh_token) = refresh_token {
            let hash = refresh_token::hash(refresh_token);
            let ended = end_by_token(&mut transaction, user_id, &hash).await?;
            entry.entity_id = ended.map(|session_id| session_id.0);
            entry.details = json!({ "sessions_ended": usize::from(ended.is_some()) });
        } else {
            let ended = sessions::end_all(&mut transaction, user_id, None).await?;
            entry.details = json!({ "sessions_ended": ended });
        }
        audit::insert(&mut transaction, &entry, self.environment.clock.now()).await?;
        transaction.commit().await?;
        self.environment
            .access_changed(AccessChange::User { user_id });
        Ok(())
    }
}

/// Ends the session that a token belongs to, also one that is spent: the answer to a refresh may have
/// been lost, or somebody else may have spent it.
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
