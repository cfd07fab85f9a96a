use secrecy::SecretString;
use serde_json::json;
use sovd_domain::{AuditEntry, AuditResult, User, audit::Origin};
use sovd_storage::{audit, users};

use super::{Auth, TokenPair, password::Verdict, places::Place};
use crate::error::{AuthFailure, ServiceError};

impl Auth {
    /// Opens a session for whoever knows the password of `username`. The attempt stands in the
    /// audit trail either way.
    ///
    /// # Errors
    ///
    /// [`AuthFailure::InvalidCredentials`], after the same time whether or not the user exists;
    /// [`AuthFailure::AccountDisabled`], to whoever knows the password;
    /// [`ServiceError::RateLimited`] when too many log in at once.
    pub async fn login(
        &self,
        username: &str,
        password: SecretString,
        origin: Origin,
    ) -> Result<TokenPair, ServiceError> {
        let place = self.passwords.place().await?;
        // Read now and not before the wait, in which the password may have been changed.
        let known = {
            let mut connection = self.environment.database.connection().await?;
            users::credentials_of(&mut connection, username).await?
        };
        let hash = known.as_ref().map(|known| known.password_hash.clone());
        let verifying = self.passwords.verify(place, password.clone(), hash);
        let (place, verdict) = verifying.await?;
        let is_right = verdict != Verdict::Wrong;
        match known {
            Some(known) if is_right && known.user.is_active => {
                let tokens = self.open_session(&known, origin).await?;
                if verdict == Verdict::RightButCheap {
                    self.rehash(place, password, &known).await;
                }
                Ok(tokens)
            }
            known => {
                self.record_refused_login(username, known.map(|known| known.user), origin)
                    .await?;
                Err(if is_right {
                    AuthFailure::AccountDisabled.into()
                } else {
                    AuthFailure::InvalidCredentials.into()
                })
            }
        }
    }

    /// Stores a hash at the configured cost in the place of a cheaper one. The login goes on
    /// without it.
    async fn rehash(&self, place: Place, password: SecretString, known: &users::Credentials) {
        let replacing = async {
            let (_, hash) = self.passwords.hash_again(place, password).await?;
            let mut connection = self.environment.database.connection().await?;
            let (user_id, old) = (known.user.user_id, &known.password_hash);
            users::replace_hash(&mut connection, user_id, old, &hash).await?;
            Ok::<_, ServiceError>(())
        };
        if let Err(error) = replacing.await {
            tracing::warn!(%error, user_id = %known.user.user_id, "cannot store a dearer hash");
        }
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
}
