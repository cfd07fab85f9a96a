use std::{net::IpAddr, sync::Arc};

use secrecy::SecretString;
use serde_json::{Value, json};
use sovd_domain::{AuditEntry, AuditResult, User, audit::Origin};
use sovd_storage::{StorageError, audit, identity::users};
use tracing::Instrument;

use super::{
    Auth, TokenPair,
    password::PasswordMatch,
    throttle::{Admitted, LoginCounters},
};
use crate::error::{AuthFailure, ServiceError};
use crate::identity::auth::hashing_permits::HashingPermit;

/// How often a login is tried whose user is changed at the same time.
const TRIES: usize = 3;

impl Auth {
    /// Opens a session for whoever knows the password of `username`. The attempt stands in the
    /// audit trail either way.
    ///
    /// # Errors
    ///
    /// [`AuthFailure::InvalidCredentials`], after the same time whether or not the user exists;
    /// [`AuthFailure::AccountDisabled`], to whoever knows the password;
    /// [`ServiceError::RateLimited`] after too many failures, likewise for both, or when too many
    /// log in at once.
    pub async fn login(
        self: &Arc<Self>,
        username: &str,
        password: SecretString,
        origin: Origin,
    ) -> Result<TokenPair, ServiceError> {
        let (auth, username) = (Arc::clone(self), username.to_owned());
        // A task of its own, which ends although the client goes away: what failed counts.
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
    ) -> Result<TokenPair, ServiceError> {
        let guess = self.guess(username, origin.ip_address);
        let (mut place, admitted) = self.admit(&guess, username, &origin).await?;
        for _ in 0..TRIES {
            // Read now and not before the wait, in which the password may have been changed.
            let known = {
                let mut connection = self.access.connection().await?;
                users::credentials_of(&mut connection, username).await?
            };
            let hash = known.as_ref().map(|known| known.password_hash.clone());
            let verifying = self.passwords.verify(place, password.clone(), hash);
            let verdict;
            (place, verdict) = verifying.await?;
            let now = self.access.now();
            let is_right = verdict != PasswordMatch::Mismatch;
            let Some(known) = known.as_ref().filter(|it| is_right && it.user.is_active) else {
                self.throttle.count_failure(&guess, admitted, now).await;
                // Only now, so that whoever comes next is judged by this failure too.
                drop(place);
                let user = known.map(|known| known.user);
                self.record_refused_login(username, user, origin).await?;
                return Err(if is_right {
                    AuthFailure::AccountDisabled.into()
                } else {
                    AuthFailure::InvalidCredentials.into()
                });
            };
            // Nothing when what was compared is not stored any more: compare again.
            if let Some(tokens) = self.open_session(known, origin.clone()).await? {
                self.throttle.count_success(&guess, now).await;
                if verdict == PasswordMatch::NeedsRehash {
                    self.rehash(place, password, known).await;
                }
                return Ok(tokens);
            }
        }
        Err(ServiceError::internal(
            "the password is changed all the time",
        ))
    }

    /// Returns the names under which the failures of a login are counted.
    pub(super) fn guess(&self, username: &str, address: Option<IpAddr>) -> LoginCounters {
        LoginCounters::new(&self.username_digest, username, address)
    }

    /// Waits for a place in which a password may be compared.
    pub(super) async fn admit(
        &self,
        guess: &LoginCounters,
        username: &str,
        origin: &Origin,
    ) -> Result<(HashingPermit, Admitted), ServiceError> {
        // Those who have to wait do so without a place in the queue.
        self.may_try(guess, username, origin).await?;
        let place = self.passwords.permit().await?;
        // Others have failed meanwhile. Few are past this line at a time, so few are too many.
        let admitted = self.may_try(guess, username, origin).await?;
        Ok((place, admitted))
    }

    /// Whether a login may be tried now. Of those that may not, the first one in each wait stands
    /// in the audit trail; all of them would let anybody fill it.
    async fn may_try(
        &self,
        guess: &LoginCounters,
        username: &str,
        origin: &Origin,
    ) -> Result<Admitted, ServiceError> {
        let now = self.access.now();
        let too_soon = match self.throttle.check(guess, now).await {
            Ok(admitted) => return Ok(admitted),
            Err(too_soon) => too_soon,
        };
        if too_soon.is_first {
            let mut connection = self.access.connection().await?;
            let user = users::credentials_of(&mut connection, username).await?;
            let mut details = self.username_digest.audit_details(username, user.is_some());
            details.insert("by".to_owned(), json!(too_soon.by));
            let seconds = too_soon.retry_after.as_secs();
            details.insert("retry_after_seconds".to_owned(), json!(seconds));
            let entry = AuditEntry {
                result: AuditResult::Refused,
                details: Value::Object(details),
                origin: origin.clone(),
                ..AuditEntry::new("auth.login_throttled", "user")
            };
            audit::insert(&mut connection, &entry, now).await?;
        }
        Err(too_soon.into())
    }

    /// Stores a hash at the configured cost in the place of a cheaper one. The login goes on
    /// without it.
    async fn rehash(
        &self,
        place: HashingPermit,
        password: SecretString,
        known: &users::Credentials,
    ) {
        let replacing = async {
            // The place is kept until the hash is stored, or others would compare with the old one.
            let (_place, hash) = self.passwords.rehash(place, password).await?;
            let mut connection = self.access.connection().await?;
            let (user_id, old) = (known.user.user_id, &known.password_hash);
            users::replace_hash(&mut connection, user_id, old, &hash).await?;
            Ok::<_, ServiceError>(())
        };
        if let Err(error) = replacing.await {
            tracing::warn!(%error, user_id = %known.user.user_id, "cannot store a dearer hash");
        }
    }

    /// Writes a refused login down. A user who was deleted meanwhile is nobody.
    async fn record_refused_login(
        &self,
        username: &str,
        user: Option<User>,
        origin: Origin,
    ) -> Result<(), ServiceError> {
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
            written => written?,
        }
        Ok(())
    }
}
