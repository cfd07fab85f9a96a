use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};
use sovd_domain::{AccessChange, AuditEntry, AuditResult, FieldError};
use sovd_storage::{
    Transaction, audit,
    identity::{
        sessions,
        users::{self, Credentials},
    },
};

use tracing::Instrument;

use super::{Auth, NewPassword, password::PasswordMatch};
use crate::{
    error::{AuthFailure, ServiceError},
    identity::caller::Caller,
};

impl Auth {
    /// Gives the caller another password and ends the caller's other sessions.
    ///
    /// # Errors
    ///
    /// [`ServiceError::Invalid`] when `current` is not the password, or `new` breaks a rule or is no
    /// other one; [`ServiceError::Conflict`] when it is changed at the same time; [`ServiceError::RateLimited`] after too many failures, or when too many passwords are hashed
    /// already.
    pub async fn change_password(
        self: &Arc<Self>,
        caller: &Caller,
        current: SecretString,
        new: SecretString,
    ) -> Result<(), ServiceError> {
        if current.expose_secret() == new.expose_secret() {
            return Err(invalid(
                "/new_password",
                "must be another than the current one",
            ));
        }
        let new = NewPassword::check(new, &caller.user.username)
            .map_err(|refused| ServiceError::Invalid(vec![refused.at("/new_password")]))?;
        let proving = {
            let (auth, caller) = (Arc::clone(self), caller.clone());
            // A task of its own, which ends although the client goes away: what failed counts.
            async move { auth.prove(&caller, current).await }
        };
        let proven = tokio::spawn(proving.in_current_span()).await;
        let known = proven.map_err(ServiceError::internal)??;
        let hash = self.passwords.hash(new).await?;

        let user_id = caller.user.user_id;
        let lock = async |transaction: &mut Transaction| {
            if users::hold(transaction, &known).await? {
                return Ok(());
            }
            Err(ServiceError::Conflict {
                reason: "the password was changed at the same time",
                pointer: None,
            })
        };
        let change = async |transaction: &mut Transaction, (), now| {
            users::set_password(transaction, user_id, &hash, now).await?;
            sessions::end_all(transaction, user_id, caller.session_id()).await?;
            Ok(audit::insert(transaction, &entry(caller), now).await?)
        };
        self.access.change_with_locks(caller, lock, change).await?;
        self.credentials
            .access_changed(AccessChange::User { user_id });
        Ok(())
    }

    /// What is stored of the caller, once they have shown that they know the password.
    async fn prove(
        &self,
        caller: &Caller,
        password: SecretString,
    ) -> Result<Credentials, ServiceError> {
        let guess = self.guess(&caller.user.username, caller.origin.ip_address);
        let username = &caller.user.username;
        let (place, admitted) = self.admit(&guess, username, &caller.origin).await?;
        let known = {
            let mut connection = self.access.connection().await?;
            users::credentials(&mut connection, caller.user.user_id)
                .await?
                .ok_or(AuthFailure::SessionRevoked)?
        };
        let hash = Some(known.password_hash.clone());
        let (place, verdict) = self.passwords.verify(place, password, hash).await?;
        let now = self.access.now();
        if verdict != PasswordMatch::Mismatch {
            self.throttle.count_success(&guess, now).await;
            return Ok(known);
        }
        self.throttle.count_failure(&guess, admitted, now).await;
        // Only now, so that whoever comes next is judged by this failure too.
        drop(place);
        let refused = AuditEntry {
            result: AuditResult::Refused,
            ..entry(caller)
        };
        let mut connection = self.access.connection().await?;
        audit::insert(&mut connection, &refused, now).await?;
        Err(invalid("/current_password", "is not the current password"))
    }
}

fn entry(caller: &Caller) -> AuditEntry {
    AuditEntry {
        entity_id: Some(caller.user.user_id.0),
        ..caller.audit("auth.password", "user")
    }
}

fn invalid(pointer: &str, detail: &str) -> ServiceError {
    ServiceError::Invalid(vec![FieldError::new(pointer, detail)])
}
