use std::{net::IpAddr, sync::Arc};

use secrecy::SecretString;
use serde_json::{Value, json};
use sovd_domain::{AuditEntry, AuditResult, User, audit::Origin};
use sovd_storage::{StorageError, audit, identity::users};
use tracing::Instrument;

use super::{
    Auth, TokenPair,
    password::{HashingPermit, PasswordMatch},
    throttle::{Admitted, LoginCounters},
};
use crate::error::{AuthFailure, Result, ServiceError};

/// The maximum number of attempts while the user is changed concurrently.
const MAX_ATTEMPTS: usize = 3;

impl Auth {
    /// Opens a session for a user with the correct password. Every attempt is audited.
    ///
    /// # Errors
    ///
    /// [`AuthFailure::InvalidCredentials`], after the same time whether or not the user exists;
    /// [`AuthFailure::AccountDisabled`] if the password is correct; [`ServiceError::RateLimited`] after too many
    /// failures, whether or not the user exists, or if there are too many concurrent logins.
    pub async fn login(
        self: &Arc<Self>,
        username: &str,
        password: SecretString,
        origin: Origin,
    ) -> Result<TokenPair> {
        let (auth, username) = (Arc::clone(self), username.to_owned());
        // A separate task, so that failures count even if the client disconnects.
        let login = async move { auth.log_in(&username, password, origin).await };
        tokio::spawn(login.in_current_span())
            .await
            .map_err(ServiceError::internal)?
    }

    async fn log_in(
        &self,
        username: &str,
        password: SecretString,
        origin: Origin,
    ) -> Result<TokenPair> {
        let counters = self.login_counters(username, origin.ip_address);
        let (mut permit, admitted) = self.admit(&counters, username, &origin).await?;
        for _ in 0..MAX_ATTEMPTS {
            // After the wait for the permit, because the password may have changed meanwhile.
            let known = {
                let mut connection = self.access.connection().await?;
                users::credentials_of(&mut connection, username).await?
            };
            let hash = known.as_ref().map(|known| known.password_hash.clone());
            let outcome;
            (permit, outcome) = self
                .passwords
                .verify(permit, password.clone(), hash)
                .await?;
            let now = self.access.now();
            let is_correct = outcome != PasswordMatch::Mismatch;
            let Some(known) = known.as_ref().filter(|it| is_correct && it.user.is_active) else {
                self.throttle.count_failure(&counters, admitted, now).await;
                // Released only now, so that the next login sees this failure.
                drop(permit);
                let user = known.map(|known| known.user);
                self.record_refused_login(username, user, origin).await?;
                return Err(if is_correct {
                    AuthFailure::AccountDisabled.into()
                } else {
                    AuthFailure::InvalidCredentials.into()
                });
            };
            // `None` if the compared hash is stale; compare again.
            if let Some(tokens) = self.open_session(known, origin.clone()).await? {
                self.throttle.count_success(&counters, now).await;
                if outcome == PasswordMatch::NeedsRehash {
                    self.upgrade_hash(permit, password, known).await;
                }
                return Ok(tokens);
            }
        }
        let reason = "the user is changed repeatedly during the login";
        Err(ServiceError::internal(reason))
    }

    pub(super) fn login_counters(&self, username: &str, address: Option<IpAddr>) -> LoginCounters {
        LoginCounters::new(&self.username_digest, username, address)
    }

    /// Waits for a permit to compare a password.
    pub(super) async fn admit(
        &self,
        counters: &LoginCounters,
        username: &str,
        origin: &Origin,
    ) -> Result<(HashingPermit, Admitted)> {
        // Throttled logins must not occupy the queue.
        self.check_throttle(counters, username, origin).await?;
        let permit = self.passwords.permit().await?;
        // Other logins may have failed meanwhile. The permits bound how many get past this check at once.
        let admitted = self.check_throttle(counters, username, origin).await?;
        Ok((permit, admitted))
    }

    /// Checks whether a login may be attempted now. Only the first refusal in each delay is audited, so that
    /// an attacker cannot flood the audit trail.
    async fn check_throttle(
        &self,
        counters: &LoginCounters,
        username: &str,
        origin: &Origin,
    ) -> Result<Admitted> {
        let now = self.access.now();
        let throttled = match self.throttle.check(counters, now).await {
            Ok(admitted) => return Ok(admitted),
            Err(throttled) => throttled,
        };
        if throttled.is_first {
            let mut connection = self.access.connection().await?;
            let user = users::credentials_of(&mut connection, username).await?;
            let mut details = self.username_digest.audit_details(username, user.is_some());
            details.insert("by".to_owned(), json!(throttled.by));
            let seconds = throttled.retry_after.as_secs();
            details.insert("retry_after_seconds".to_owned(), json!(seconds));
            let entry = AuditEntry {
                result: AuditResult::Refused,
                details: Value::Object(details),
                origin: origin.clone(),
                ..AuditEntry::new("auth.login_throttled", "user")
            };
            audit::insert(&mut connection, &entry, now).await?;
        }
        let retry_after = throttled.retry_after;
        Err(ServiceError::RateLimited { retry_after })
    }

    /// Replaces a hash of lower cost. A failure does not affect the login.
    async fn upgrade_hash(
        &self,
        permit: HashingPermit,
        password: SecretString,
        known: &users::Credentials,
    ) {
        let replace = async {
            // The permit is held until the hash is stored, so that fewer logins compare with the old one.
            let (_permit, hash) = self.passwords.rehash(permit, password).await?;
            let mut connection = self.access.connection().await?;
            let (user_id, old) = (known.user.user_id, &known.password_hash);
            users::replace_hash(&mut connection, user_id, old, &hash).await?;
            Ok::<_, ServiceError>(())
        };
        if let Err(error) = replace.await {
            tracing::warn!(%error, user_id = %known.user.user_id, "failed to upgrade a password hash");
        }
    }

    /// Audits a refused login, without the user if they were deleted meanwhile.
    async fn record_refused_login(
        &self,
        username: &str,
        user: Option<User>,
        origin: Origin,
    ) -> Result<()> {
        let entry = AuditEntry {
            details: Value::Object(self.username_digest.audit_details(username, user.is_some())),
            user_id: user.as_ref().map(|user| user.user_id),
            entity_id: user.map(|user| user.user_id.0),
            result: AuditResult::Refused,
            origin,
            ..AuditEntry::new("auth.login_failed", "user")
        };
        let now = self.access.now();
        let mut connection = self.access.connection().await?;
        match audit::insert(&mut connection, &entry, now).await {
            Err(StorageError::Dangling { .. }) => {
                let entry = AuditEntry {
                    user_id: None,
                    ..entry
                };
                audit::insert(&mut connection, &entry, now).await?;
            }
            outcome => outcome?,
        }
        Ok(())
    }
}
