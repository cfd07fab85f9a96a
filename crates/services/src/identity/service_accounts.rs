//! The management of service accounts.

use std::{sync::Arc, time::Duration};

use derive_more::Constructor;
use secrecy::SecretString;
use serde_json::{Value, json};
use sovd_domain::{
    AccessChange, AuditEntry, FieldError, Listing, Page, Permission, Random, Role, Scope,
    ServiceAccount, User, UserId, VehicleId,
};
use sovd_storage::{StorageError, Transaction, audit, identity::service_accounts};

use crate::{
    error::{Result, ServiceError},
    identity::{access::Access, auth::ApiKey, caller::Caller, credential_cache::CredentialCache},
};

/// Manages service accounts on behalf of admins.
#[derive(Constructor)]
pub struct ServiceAccounts {
    access: Access,
    credentials: CredentialCache,
    random: Arc<dyn Random>,
}

/// A service account to create.
#[derive(Debug, Clone)]
pub struct NewServiceAccount {
    /// The name, which no user or other account may have.
    pub name: String,
    /// The role that bounds its permissions.
    pub role: Role,
    /// The names of the permissions of its key, each of which a key of the role can have.
    pub permissions: Vec<String>,
    /// The vehicles it is limited to; `None` for the whole fleet.
    pub vehicle_ids: Option<Vec<VehicleId>>,
    /// The lifetime of its key.
    pub lifetime: Duration,
}

/// An account and its new key.
#[derive(Debug)]
pub struct IssuedKey {
    /// The account.
    pub account: ServiceAccount,
    /// The key, which is not stored.
    pub key: SecretString,
}

impl ServiceAccounts {
    /// Lists one page of the accounts by name.
    pub async fn list(&self, caller: &Caller, page: Page) -> Result<Listing<ServiceAccount>> {
        caller.require(Permission::ManageServiceAccounts)?;
        let mut connection = self.access.bulk_connection(caller).await?;
        Ok(service_accounts::list(&mut connection, page).await?)
    }

    /// Returns an account.
    pub async fn get(&self, caller: &Caller, user_id: UserId) -> Result<ServiceAccount> {
        caller.require(Permission::ManageServiceAccounts)?;
        let mut connection = self.access.connection().await?;
        let found = service_accounts::find(&mut connection, user_id).await?;
        found.ok_or(UNKNOWN)
    }

    /// Creates an account with a key.
    pub async fn create(&self, caller: &Caller, new: NewServiceAccount) -> Result<IssuedKey> {
        caller.require(Permission::ManageServiceAccounts)?;
        let permissions = permissions(&new)?;
        let user_id = UserId(self.random.uuid());
        let now = self.access.now();
        let account = ServiceAccount {
            user: User {
                user_id,
                // A reserved domain (RFC 2606).
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
            ..caller.audit_of("service_account.create", "service_account", user_id.0)
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

    /// Replaces the key of an account that is not revoked.
    pub async fn renew_key(
        &self,
        caller: &Caller,
        user_id: UserId,
        lifetime: Duration,
    ) -> Result<IssuedKey> {
        let mut account = self.get(caller, user_id).await?;
        let now = self.access.now();
        account.expires_at = now + lifetime;
        let key = ApiKey::generate(self.random.as_ref());
        let entry = AuditEntry {
            details: details(&account),
            ..caller.audit_of("service_account.renew_key", "service_account", user_id.0)
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

    /// Revokes an account permanently, once, and ends its streams. The account stays in the list because
    /// commands and audit entries refer to it.
    pub async fn revoke(&self, caller: &Caller, user_id: UserId) -> Result<()> {
        self.get(caller, user_id).await?;
        let revoke = async |transaction: &mut Transaction, now| {
            if !service_accounts::revoke(transaction, user_id, now).await? {
                return Err(REVOKED);
            }
            let entry = caller.audit_of("service_account.revoke", "service_account", user_id.0);
            Ok(audit::insert(transaction, &entry, now).await?)
        };
        self.access.change(caller, revoke).await?;
        self.credentials
            .access_changed(AccessChange::User { user_id });
        Ok(())
    }
}

const UNKNOWN: ServiceError = ServiceError::not_found("service account", None);
const REVOKED: ServiceError = ServiceError::conflict("the service account is revoked", None);

/// Parses the requested permissions, if a key of the role can have each.
fn permissions(new: &NewServiceAccount) -> Result<Vec<Permission>> {
    if new.role == Role::Customer {
        let detail = "must not be customer: only a user can own vehicles";
        return Err(FieldError::new("/role", detail).into());
    }
    let is_limited = new.vehicle_ids.is_some();
    let grantable: Vec<Permission> = Permission::ALL
        .iter()
        .copied()
        .filter(|permission| {
            permission.is_grantable_to_keys() && permission.is_granted_to(new.role)
        })
        .filter(|permission| !(is_limited && permission.is_fleet_wide()))
        .collect();
    let names: Vec<&str> = grantable.iter().map(|it| it.as_str()).collect();
    let book = Permission::Book.as_str();
    let can_book = new.permissions.iter().any(|name| name == book);
    let (mut granted, mut errors) = (Vec::new(), Vec::new());
    for (index, name) in new.permissions.iter().enumerate() {
        let mut refuse =
            |detail| errors.push(FieldError::new(format!("/permissions/{index}"), detail));
        match grantable.iter().find(|it| it.as_str() == name) {
            Some(Permission::ManageBookings) if !can_book => {
                refuse(format!("opens nothing without {book}"));
            }
            Some(permission) => granted.push(*permission),
            None => refuse(format!(
                "must be one of {}, for this role and these vehicles",
                names.join(", ")
            )),
        }
    }
    if errors.is_empty() {
        Ok(granted)
    } else {
        Err(ServiceError::Invalid(errors))
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
        StorageError::Duplicate { .. } => ServiceError::conflict(
            "a user or another service account has this name",
            Some("/name"),
        ),
        error => error.into(),
    }
}
