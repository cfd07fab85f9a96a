use chrono::{DateTime, Utc};
use sovd_domain::{
    AuditEntry, Permission, Role, Scope, SessionId, User, VehicleId, VehicleScope, audit::Origin,
};

use sovd_storage::{
    Connection, StorageError, Transaction,
    agents::suspensions,
    fleet::vehicles,
    identity::{service_accounts, sessions},
};

use crate::{
    agents::Block,
    error::{AuthFailure, ServiceError},
    identity::credential_cache::{CredentialCache, CredentialWatch},
};

/// Whoever asks, as their credential and the database know them.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The account, as it was a few seconds ago or is now.
    pub user: User,
    /// What shows who it is.
    pub credential: Credential,
    /// What the credential opens; all that the role may do when nothing narrows it.
    pub scope: Option<Scope>,
    /// The permissions that an agent was admitted for in this request, the first one by its endpoint.
    /// Empty for users.
    pub admitted: Vec<Permission>,
    /// The moment at which the token or key ends.
    pub expires_at: DateTime<Utc>,
    /// Where the request came from.
    pub origin: Origin,
}

/// What shows who somebody is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Credential {
    /// The login that an access token belongs to.
    Session(SessionId),
    /// The key of a service account, as the SHA-256 that is stored of it.
    ApiKey(String),
}

impl Caller {
    /// Whether the caller has `permission`.
    pub fn may(&self, permission: Permission) -> bool {
        let opens = |scope: &Scope| scope.permissions.contains(&permission);
        permission.is_granted_to(self.user.role) && self.scope.as_ref().is_none_or(opens)
    }

    /// Refuses whoever lacks `permission`.
    ///
    /// # Errors
    ///
    /// [`ServiceError::Forbidden`].
    pub fn require(&self, permission: Permission) -> Result<(), ServiceError> {
        if self.may(permission) {
            Ok(())
        } else {
            Err(ServiceError::Forbidden)
        }
    }

    /// The login; a machine has none.
    pub fn session_id(&self) -> Option<SessionId> {
        match self.credential {
            Credential::Session(session_id) => Some(session_id),
            Credential::ApiKey(_) => None,
        }
    }

    /// The name of the agent, if a machine calls; people are none.
    pub(crate) fn agent_name(&self) -> Option<&str> {
        match self.credential {
            Credential::Session(_) => None,
            Credential::ApiKey(_) => Some(&self.user.username),
        }
    }

    /// Which vehicles the caller may know of: a customer of the own ones, a key of those it is for.
    pub(crate) fn vehicles(&self) -> VehicleScope {
        if self.user.role == Role::Customer {
            return VehicleScope::OwnedBy(self.user.user_id);
        }
        let scope = self.scope.as_ref();
        let vehicle_ids = scope.and_then(|scope| scope.vehicle_ids.clone());
        vehicle_ids.map_or(VehicleScope::All, VehicleScope::Among)
    }

    /// Whether the caller may know of the vehicle.
    ///
    /// # Errors
    ///
    /// When the database, which knows whose it is, is away.
    pub(crate) async fn can_access_vehicle(
        &self,
        connection: &mut Connection,
        vehicle_id: VehicleId,
    ) -> Result<bool, StorageError> {
        match self.vehicle_access_in_scope(vehicle_id) {
            Some(is_reached) => Ok(is_reached),
            None => vehicles::is_owned_by(connection, vehicle_id, self.user.user_id).await,
        }
    }

    /// The same, where it can be said without asking the database: of everybody but customers.
    pub(crate) fn vehicle_access_in_scope(&self, vehicle_id: VehicleId) -> Option<bool> {
        match self.vehicles() {
            VehicleScope::OwnedBy(_) => None,
            scope => Some(scope.covers(vehicle_id, None)),
        }
    }

    /// Returns the permission that an agent was admitted for by the endpoint; `None` for users.
    pub(crate) fn acting(&self) -> Option<Permission> {
        self.admitted.first().copied()
    }

    /// Adds a permission that an agent was admitted for.
    pub(crate) fn admitted_for(mut self, permission: Permission) -> Self {
        if self.agent_name().is_some() {
            self.admitted.push(permission);
        }
        self
    }

    /// Locks the credential, and of an agent the permissions that it was admitted for, until the end of
    /// the transaction. A request may have waited since it was admitted.
    ///
    /// # Errors
    ///
    /// [`AuthFailure::SessionRevoked`] if the credential has ended; [`Block::Suspended`] if the agent is
    /// suspended.
    pub(super) async fn lock_credential(
        &self,
        transaction: &mut Transaction,
        now: DateTime<Utc>,
    ) -> Result<(), ServiceError> {
        let is_live = match &self.credential {
            Credential::Session(session_id) => {
                sessions::hold(transaction, *session_id, self.user.role, now).await?
            }
            Credential::ApiKey(hash) => service_accounts::hold(transaction, hash, now).await?,
        };
        if !is_live {
            return Err(AuthFailure::SessionRevoked.into());
        }
        let Some(agent_name) = self.agent_name() else {
            return Ok(());
        };
        for (index, permission) in self.admitted.iter().enumerate() {
            // Of the further permissions only those to change something are locked.
            let is_locked = index == 0 || permission.is_write();
            if is_locked && !suspensions::hold(transaction, agent_name, permission.as_str()).await?
            {
                return Err(Block::Suspended.into());
            }
        }
        Ok(())
    }

    /// Watches the credential for a stream that must not outlive it.
    pub(crate) fn watch(&self, credential_cache: &CredentialCache) -> CredentialWatch {
        credential_cache.watch(&self.credential, self.user.user_id)
    }

    /// The beginning of an audit line about something this caller did.
    pub(crate) fn audit(&self, action: &'static str, entity_type: &'static str) -> AuditEntry {
        AuditEntry {
            user_id: Some(self.user.user_id),
            origin: self.origin.clone(),
            ..AuditEntry::new(action, entity_type)
        }
    }
}
