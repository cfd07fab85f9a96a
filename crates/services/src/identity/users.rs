//! The management of users.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use derive_more::Constructor;
use secrecy::SecretString;
use serde_json::{Map, Value, json};
use sovd_domain::{
    AccessChange, AuditEntry, FieldError, Listing, Page, Permission, Random, Role, User, UserId,
};
use sovd_storage::{
    Conflict, StorageError, Transaction, audit,
    fleet::vehicles,
    identity::{
        sessions,
        users::{self, Credentials},
    },
};

use crate::{
    differences::Differences,
    error::{Result, ServiceError},
    fleet::vehicles::deletion,
    identity::{
        access::Access,
        auth::{NewPassword, Passwords},
        caller::Caller,
        credential_cache::CredentialCache,
    },
};

pub use sovd_storage::identity::users::UserFilter;

/// Manages users on behalf of admins.
#[derive(Constructor)]
pub struct Users {
    access: Access,
    credentials: CredentialCache,
    random: Arc<dyn Random>,
    passwords: Arc<Passwords>,
}

/// A user to create.
#[derive(Debug, Clone)]
pub struct NewUser {
    /// The name used to log in, which no other user may have.
    pub username: String,
    /// The e-mail address, which no other user may have; stored in lower case.
    pub email: String,
    /// The password, which must meet the rules of [`NewPassword`].
    pub password: SecretString,
    /// The role.
    pub role: Role,
}

/// The changes to a user; `None` keeps the value.
#[derive(Debug, Clone, Default)]
pub struct UserChange {
    /// The e-mail address; stored in lower case.
    pub email: Option<String>,
    /// The role.
    pub role: Option<Role>,
    /// Whether the user may log in.
    pub is_active: Option<bool>,
    /// The password.
    pub password: Option<SecretString>,
}

impl UserChange {
    fn check(&self) -> Result<()> {
        let is_empty = self.email.is_none()
            && self.role.is_none()
            && self.is_active.is_none()
            && self.password.is_none();
        if is_empty {
            let detail = "must have at least one of email, role, is_active and password";
            return Err(FieldError::new("", detail).into());
        }
        Ok(())
    }
}

impl Users {
    /// Lists one page of the matching users by name.
    pub async fn list(
        &self,
        caller: &Caller,
        filter: &UserFilter,
        page: Page,
    ) -> Result<Listing<User>> {
        caller.require(Permission::ManageUsers)?;
        let mut connection = self.access.bulk_connection(caller).await?;
        Ok(users::list(&mut connection, filter, page).await?)
    }

    /// Returns a user.
    pub async fn get(&self, caller: &Caller, user_id: UserId) -> Result<User> {
        caller.require(Permission::ManageUsers)?;
        let mut connection = self.access.connection().await?;
        users::find(&mut connection, user_id).await?.ok_or(UNKNOWN)
    }

    /// Creates a user.
    pub async fn create(&self, caller: &Caller, new: NewUser) -> Result<User> {
        caller.require(Permission::ManageUsers)?;
        let password_hash = self.hash(new.password, &new.username).await?;
        let now = self.access.now();
        let user = User {
            user_id: UserId(self.random.uuid()),
            username: new.username,
            email: new.email.to_lowercase(),
            role: new.role,
            is_active: true,
            created_at: now,
        };
        let credentials = Credentials {
            user,
            password_hash,
        };
        let user = &credentials.user;
        let entry = AuditEntry {
            details: details(user),
            ..caller.audit_of("user.create", "user", user.user_id.0)
        };
        let insert = async |transaction: &mut Transaction, _| {
            users::insert(transaction, &credentials)
                .await
                .map_err(taken)?;
            Ok(audit::insert(transaction, &entry, now).await?)
        };
        self.access.change(caller, insert).await?;
        Ok(credentials.user)
    }

    /// Changes a user. A new role, a new password and a disabled account end all sessions of the user.
    ///
    /// # Errors
    ///
    /// [`ServiceError::Conflict`] if the address is taken, no active admin would remain, or an owner of
    /// vehicles would lose the role of a customer.
    pub async fn change(
        &self,
        caller: &Caller,
        user_id: UserId,
        change: UserChange,
    ) -> Result<User> {
        caller.require(Permission::ManageUsers)?;
        change.check()?;
        let username = self.get(caller, user_id).await?.username;
        let password_hash = match change.password.clone() {
            Some(password) => Some(self.hash(password, &username).await?),
            None => None,
        };
        let update = async |transaction: &mut Transaction, admins: Vec<UserId>, now| {
            update(
                transaction,
                caller,
                user_id,
                &change,
                password_hash,
                &admins,
                now,
            )
            .await
        };
        let changed = self.access.change_with_locks(caller, lock_admins, update);
        let user = changed.await?;
        self.credentials
            .access_changed(AccessChange::User { user_id });
        Ok(user)
    }

    /// Deletes a user with their sessions, commands, responses and vehicles. The audit trail stays and gets an
    /// entry for each vehicle.
    ///
    /// # Errors
    ///
    /// [`ServiceError::Conflict`] if they are the last active admin, or commands of them or to their vehicles
    /// have not ended.
    pub async fn delete(&self, caller: &Caller, user_id: UserId) -> Result<()> {
        caller.require(Permission::ManageUsers)?;
        let delete = async |transaction: &mut Transaction, admins: Vec<UserId>, now| {
            let user = users::lock_for_deletion(transaction, user_id)
                .await?
                .ok_or(UNKNOWN)?;
            if admins == [user_id] {
                return Err(LAST_ADMIN);
            }
            // Deleting the user deletes their vehicles.
            let owned = vehicles::lock_owned_for_deletion(transaction, user_id).await?;
            if users::has_open_commands(transaction, user_id).await? {
                return Err(ServiceError::conflict(
                    "commands of this user, or to a vehicle of theirs, have not ended: cancel \
                     them, or disable the user",
                    None,
                ));
            }
            let entry = AuditEntry {
                details: details(&user),
                ..caller.audit_of("user.delete", "user", user_id.0)
            };
            // Before the deletion, so that the entries refer to the vehicles and to an admin who deletes themself.
            for vehicle in &owned {
                audit::insert(transaction, &deletion(caller, vehicle), now).await?;
            }
            audit::insert(transaction, &entry, now).await?;
            Ok(users::delete(transaction, user_id).await?)
        };
        let deleted = self.access.change_with_locks(caller, lock_admins, delete);
        deleted.await?;
        self.credentials
            .access_changed(AccessChange::User { user_id });
        Ok(())
    }

    async fn hash(&self, password: SecretString, username: &str) -> Result<String> {
        let password =
            NewPassword::check(password, username).map_err(|refused| refused.at("/password"))?;
        self.passwords.hash(password).await
    }
}

/// Locks all admins, before the credential and the user, so that two changes cannot deadlock.
async fn lock_admins(transaction: &mut Transaction) -> Result<Vec<UserId>> {
    Ok(users::lock_active_admins(transaction).await?)
}

async fn update(
    transaction: &mut Transaction,
    caller: &Caller,
    user_id: UserId,
    change: &UserChange,
    password_hash: Option<String>,
    admins: &[UserId],
    now: DateTime<Utc>,
) -> Result<User> {
    let old = users::lock(transaction, user_id).await?.ok_or(UNKNOWN)?;
    let user = changed(&old, change);
    let details = differences(&old, &user, password_hash.is_some());
    if (user.role != Role::Admin || !user.is_active) && *admins == [user_id] {
        return Err(LAST_ADMIN);
    }
    let leaves_role = user.role != old.role && user.role != Role::Customer;
    if leaves_role && vehicles::has_any(transaction, user_id).await? {
        return Err(OWNER);
    }
    users::update(transaction, &user, now)
        .await
        .map_err(taken)?;
    if let Some(password_hash) = &password_hash {
        users::set_password(transaction, user_id, password_hash, now).await?;
    }
    let ends_sessions = user.role != old.role || !user.is_active || password_hash.is_some();
    if ends_sessions {
        sessions::end_all(transaction, user_id, None).await?;
    }
    let entry = AuditEntry {
        details: Value::Object(details),
        ..caller.audit_of("user.update", "user", user_id.0)
    };
    audit::insert(transaction, &entry, now).await?;
    Ok(user)
}

const UNKNOWN: ServiceError = ServiceError::not_found("user", None);
const LAST_ADMIN: ServiceError = ServiceError::conflict(
    "the last active admin cannot be deleted, disabled or given another role",
    None,
);
const OWNER: ServiceError = ServiceError::conflict(
    "the role of a customer who owns vehicles cannot be changed",
    Some("/role"),
);

fn details(user: &User) -> Value {
    json!({ "username": user.username, "email": user.email, "role": user.role })
}

fn changed(old: &User, change: &UserChange) -> User {
    User {
        email: change
            .email
            .as_ref()
            .map_or_else(|| old.email.clone(), |email| email.to_lowercase()),
        role: change.role.unwrap_or(old.role),
        is_active: change.is_active.unwrap_or(old.is_active),
        ..old.clone()
    }
}

/// Describes the changes for the audit trail, without the password.
fn differences(old: &User, new: &User, has_new_password: bool) -> Map<String, Value> {
    Differences::default()
        .compare("email", &old.email, &new.email)
        .compare("role", &old.role, &new.role)
        .compare("is_active", &old.is_active, &new.is_active)
        .conceal("password", has_new_password)
        .into_fields()
}

/// Maps a duplicate name or e-mail address to a conflict.
fn taken(error: StorageError) -> ServiceError {
    match error.conflict() {
        Some(Conflict::UsernameTaken) => {
            ServiceError::conflict("another user has this name", Some("/username"))
        }
        Some(Conflict::EmailTaken) => {
            ServiceError::conflict("another user has this e-mail address", Some("/email"))
        }
        _ => error.into(),
    }
}
