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
    error::{AuthFailure, Result, ServiceError},
    identity::caller::Caller,
};

impl Auth {
    /// Changes the caller's password and ends the caller's other sessions.
    ///
    /// # Errors
    ///
    /// [`ServiceError::Invalid`] if `current` is wrong, or `new` violates a rule or equals `current`;
    /// [`ServiceError::Conflict`] if the password is changed concurrently; [`ServiceError::RateLimited`] after
    /// too many failures, or if no hashing permit is available in time.
    pub async fn change_password(
        self: &Arc<Self>,
        caller: &Caller,
        current: SecretString,
        new: SecretString,
    ) -> Result<()> {
        if current.expose_secret() == new.expose_secret() {
            let detail = "must differ from the current password";
            return Err(FieldError::new("/new_password", detail).into());
        }
        let new = NewPassword::check(new, &caller.user.username)
            .map_err(|refused| refused.at("/new_password"))?;
        let verify = {
            let (auth, caller) = (Arc::clone(self), caller.clone());
            // A separate task, so that failures count even if the client disconnects.
            async move { auth.verify_current(&caller, current).await }
        };
        let verified = tokio::spawn(verify.in_current_span()).await;
        let known = verified.map_err(ServiceError::internal)??;
        let hash = self.passwords.hash(new).await?;

        let user_id = caller.user.user_id;
        let lock = async |transaction: &mut Transaction| {
            if users::lock_with_hash(transaction, &known).await? {
                return Ok(());
            }
            Err(ServiceError::conflict(
                "the password was changed at the same time",
                None,
            ))
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

    /// Returns the caller's credentials if `password` is correct.
    async fn verify_current(&self, caller: &Caller, password: SecretString) -> Result<Credentials> {
        let username = &caller.user.username;
        let counters = self.login_counters(username, caller.origin.ip_address);
        let (permit, admitted) = self.admit(&counters, username, &caller.origin).await?;
        let known = {
            let mut connection = self.access.connection().await?;
            users::credentials(&mut connection, caller.user.user_id)
                .await?
                .ok_or(AuthFailure::SessionRevoked)?
        };
        let hash = Some(known.password_hash.clone());
        let (permit, outcome) = self.passwords.verify(permit, password, hash).await?;
        let now = self.access.now();
        if outcome != PasswordMatch::Mismatch {
            self.throttle.count_success(&counters, now).await;
            return Ok(known);
        }
        self.throttle.count_failure(&counters, admitted, now).await;
        // Released only now, so that the next login sees this failure.
        drop(permit);
        let refused = AuditEntry {
            result: AuditResult::Refused,
            ..entry(caller)
        };
        let mut connection = self.access.connection().await?;
        audit::insert(&mut connection, &refused, now).await?;
        Err(FieldError::new("/current_password", "is not the current password").into())
    }
}

fn entry(caller: &Caller) -> AuditEntry {
    caller.audit_of("auth.password", "user", caller.user.user_id.0)
}
