//! Machines that call with a key instead of a password.

use std::{sync::Arc, time::Duration};

use secrecy::SecretString;
use serde_json::{Value, json};
use sovd_domain::{
    AccessChange, AuditEntry, FieldError, Page, Permission, Random, Role, Scope, ServiceAccount,
    User, UserId, VehicleId,
};
use sovd_storage::{StorageError, Transaction, audit, identity::service_accounts};

use crate::{
    error::ServiceError,
    identity::{access::Access, auth::ApiKey, caller::Caller, credential_cache::CredentialCache},
};

/// Lets admins manage service accounts.
pub struct ServiceAccounts {
    access: Access,
    credentials: CredentialCache,
    random: Arc<dyn Random>,
}

/// A service account to be.
#[derive(Debug, Clone)]
pub struct NewServiceAccount {
    /// What it is called; no user may have the name.
    pub name: String,
    /// The role that bounds its permissions.
    pub role: Role,
    /// What its key opens, in the words for permissions.
    pub permissions: Vec<String>,
    /// The vehicles it is good for; nothing when it is good for all.
    pub vehicle_ids: Option<Vec<VehicleId>>,
    /// How long its key is good for.
    pub lifetime: Duration,
}

/// A key on its only way to the admin who asked for it.
#[derive(Debug)]
pub struct IssuedKey {
    /// The account as it is now.
    pub account: ServiceAccount,
    /// The key. Nobody sees it again.
    pub key: SecretString,
}

impl ServiceAccounts {
    /// A service for service accounts.
    pub fn new(access: Access, credentials: CredentialCache, random: Arc<dyn Random>) -> Self {
        Self {
            access,
            credentials,
            random,
        }
    }

    /// One page of the accounts, by name, and how many there are in all.
    ///
    /// # Errors
    ///
    /// [`ServiceError::Forbidden`] to all but admins.
    pub async fn list(
        &self,
        caller: &Caller,
        page: Page,
    ) -> Result<(Vec<ServiceAccount>, i64), ServiceError> {
        caller.require(Permission::ManageServiceAccounts)?;
        let mut connection = self.access.bulk_connection(caller).await?;
        Ok(service_accounts::list(&mut connection, page).await?)
    }

    /// The account with the id.
    ///
    /// # Errors
    ///
    /// [`ServiceError::NotFound`] when there is none.
    pub async fn get(
        &self,
        caller: &Caller,
        user_id: UserId,
    ) -> Result<ServiceAccount, ServiceError> {
        caller.require(Permission::ManageServiceAccounts)?;
        let mut connection = self.access.connection().await?;
        service_accounts::find(&mut connection, user_id)
            .await?
            .ok_or(UNKNOWN)
    }

    /// Makes an account with a key.
    ///
    /// # Errors
    ///
    /// [`ServiceError::Invalid`] when a permission is none that a key of its role may open, or opens
    /// nothing without another;
    /// [`ServiceError::Conflict`] when the name is taken.
    pub async fn create(
        &self,
        caller: &Caller,
        new: NewServiceAccount,
    ) -> Result<IssuedKey, ServiceError> {
        caller.require(Permission::ManageServiceAccounts)?;
        let permissions = permissions(&new)?;
        let now = self.access.now();
        let account = ServiceAccount {
            user: User {
                user_id: UserId(self.random.uuid()),
                // Nobody ever gets mail there (RFC 2606).
                email: format!("{}@service-accounts.invalid", new.name),
                username: new.name,
                role: new.role,
                is_active: true,
                created_at: now,
            },
            scope: Scope {
                permissions,
                vehicle_ids: new.vehicle_ids,
            },
            created_by: Some(caller.user.user_id),
            expires_at: now + new.lifetime,
            last_used_at: None,
            last_used_from: None,
            revoked_at: None,
        };
        let key = ApiKey::generate(self.random.as_ref());
        let entry = AuditEntry {
            details: details(&account),
            ..about(caller, "service_account.create", account.user.user_id)
        };
        let insert = async |transaction: &mut Transaction, _| {
            service_accounts::insert(transaction, &account, &key.hash())
                .await
                .map_err(taken)?;
            Ok(audit::insert(transaction, &entry, now).await?)
        };
        self.access.change(caller, insert).await?;
        Ok(IssuedKey {
            account,
            key: key.into_secret(),
        })
    }

    /// Gives an account another key. The one before opens nothing any more.
    ///
    /// # Errors
    ///
    /// [`ServiceError::NotFound`] when there is no such account; [`ServiceError::Conflict`] when it
    /// is revoked.
    pub async fn renew_key(
        &self,
        caller: &Caller,
        user_id: UserId,
        lifetime: Duration,
    ) -> Result<IssuedKey, ServiceError> {
        let mut account = self.get(caller, user_id).await?;
        let now = self.access.now();
        account.expires_at = now + lifetime;
        let key = ApiKey::generate(self.random.as_ref());
        let entry = AuditEntry {
            details: details(&account),
            ..about(caller, "service_account.renew_key", user_id)
        };
        let (hash, expires_at) = (key.hash(), account.expires_at);
        let replace = async |transaction: &mut Transaction, _| {
            if !service_accounts::replace_key(transaction, user_id, &hash, expires_at).await? {
                return Err(REVOKED);
            }
            Ok(audit::insert(transaction, &entry, now).await?)
        };
        self.access.change(caller, replace).await?;
        self.credentials
            .access_changed(AccessChange::User { user_id });
        Ok(IssuedKey {
            account,
            key: key.into_secret(),
        })
    }

    /// Revokes an account for good: its key opens nothing any more, and its streams end. It stays on
    /// the list, because its commands and its audit lines name it.
    ///
    /// # Errors
    ///
    /// [`ServiceError::NotFound`] when there is no such account; [`ServiceError::Conflict`] when it
    /// is revoked already.
    pub async fn revoke(&self, caller: &Caller, user_id: UserId) -> Result<(), ServiceError> {
        self.get(caller, user_id).await?;
        let revoke = async |transaction: &mut Transaction, now| {
            if !service_accounts::revoke(transaction, user_id, now).await? {
                return Err(REVOKED);
            }
            let entry = about(caller, "service_account.revoke", user_id);
            Ok(audit::insert(transaction, &entry, now).await?)
        };
        self.access.change(caller, revoke).await?;
        self.credentials
            .access_changed(AccessChange::User { user_id });
        Ok(())
    }
}

const UNKNOWN: ServiceError = ServiceError::NotFound {
    what: "service account",
    pointer: None,
};

const REVOKED: ServiceError = ServiceError::Conflict {
    reason: "the service account is revoked",
    pointer: None,
};

/// The permissions that are asked for, if a key of the role may open each.
fn permissions(new: &NewServiceAccount) -> Result<Vec<Permission>, ServiceError> {
    if new.role == Role::Customer {
        let detail = "must not be customer: what a customer sees goes by whom a vehicle belongs to";
        return Err(ServiceError::Invalid(vec![FieldError::new(
            "/role", detail,
        )]));
    }
    // Lines of the trail and insights are about everything, and a new vehicle is none of those the key is for, so
    // no key for some vehicles opens these.
    let is_for_all = |permission| {
        matches!(
            permission,
            Permission::ReadAudit
                | Permission::ManageVehicles
                | Permission::ReadInsights
                | Permission::RecordInsights
                | Permission::ReadAgentLog
                | Permission::RecordAgentLog
        )
    };
    let is_for_some = new.vehicle_ids.is_some();
    let possible: Vec<Permission> = Permission::ALL
        .iter()
        .copied()
        .filter(|permission| permission.is_for_keys() && permission.is_granted_to(new.role))
        .filter(|permission| !(is_for_some && is_for_all(*permission)))
        .collect();
    let words: Vec<&str> = possible.iter().map(|one| one.as_str()).collect();
    let books = new
        .permissions
        .iter()
        .any(|word| word == Permission::Book.as_str());
    let (mut found, mut errors) = (Vec::new(), Vec::new());
    for (index, word) in new.permissions.iter().enumerate() {
        match possible
            .iter()
            .find(|permission| permission.as_str() == word)
        {
            Some(Permission::ManageBookings) if !books => errors.push(FieldError::new(
                format!("/permissions/{index}"),
                format!("opens nothing without {}", Permission::Book.as_str()),
            )),
            Some(permission) => found.push(*permission),
            None => errors.push(FieldError::new(
                format!("/permissions/{index}"),
                format!(
                    "must be one of {}, for this role and these vehicles",
                    words.join(", ")
                ),
            )),
        }
    }
    if errors.is_empty() {
        Ok(found)
    } else {
        Err(ServiceError::Invalid(errors))
    }
}

fn about(caller: &Caller, action: &'static str, user_id: UserId) -> AuditEntry {
    AuditEntry {
        entity_id: Some(user_id.0),
        ..caller.audit(action, "service_account")
    }
}

fn details(account: &ServiceAccount) -> Value {
    json!({
        "name": account.user.username,
        "role": account.user.role,
        "permissions": account.scope.permissions,
        "vehicle_ids": account.scope.vehicle_ids,
        "expires_at": account.expires_at,
    })
}

fn taken(error: StorageError) -> ServiceError {
    match error {
        StorageError::Duplicate { .. } => ServiceError::Conflict {
            reason: "a user or another service account has it",
            pointer: Some("/name"),
        },
        error => error.into(),
    }
}
