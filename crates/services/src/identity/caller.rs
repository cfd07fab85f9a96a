use std::collections::{HashMap, HashSet};

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
use uuid::Uuid;

use crate::{
    agents::Block,
    error::{AuthFailure, Result, ServiceError},
    identity::credential_cache::{CredentialCache, CredentialWatch},
};

/// The authenticated sender of a request.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The account; it may come from the cache and be a few seconds old.
    pub user: User,
    /// The credential of the request.
    pub credential: Credential,
    /// The scope of the credential; `None` for all permissions of the role.
    pub scope: Option<Scope>,
    /// The permissions that an agent was admitted for in this request, the first one by its endpoint.
    /// Empty for users.
    pub admitted: Vec<Permission>,
    /// When the token or key expires.
    pub expires_at: DateTime<Utc>,
    /// The origin of the request.
    pub origin: Origin,
}

/// Identifies what a caller authenticated with.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Credential {
    /// The session of an access token.
    Session(SessionId),
    /// The API key of a service account, as its stored SHA-256.
    ApiKey(String),
}

impl Caller {
    /// Returns whether the caller has `permission`.
    pub fn may(&self, permission: Permission) -> bool {
        let is_in_scope = |scope: &Scope| scope.permissions.contains(&permission);
        permission.is_granted_to(self.user.role) && self.scope.as_ref().is_none_or(is_in_scope)
    }

    /// Returns [`ServiceError::Forbidden`] unless the caller has `permission`.
    pub fn require(&self, permission: Permission) -> Result<()> {
        if self.may(permission) {
            Ok(())
        } else {
            Err(ServiceError::Forbidden)
        }
    }

    /// Returns the session; agents have none.
    pub fn session_id(&self) -> Option<SessionId> {
        match self.credential {
            Credential::Session(session_id) => Some(session_id),
            Credential::ApiKey(_) => None,
        }
    }

    /// Returns the name of the agent; `None` for users.
    pub(crate) fn agent_name(&self) -> Option<&str> {
        match self.credential {
            Credential::Session(_) => None,
            Credential::ApiKey(_) => Some(&self.user.username),
        }
    }

    /// Returns the vehicles that the caller may see: customers see their own, agents those of their key.
    pub(crate) fn vehicle_scope(&self) -> VehicleScope {
        if self.user.role == Role::Customer {
            return VehicleScope::OwnedBy(self.user.user_id);
        }
        let scope = self.scope.as_ref();
        let vehicle_ids = scope.and_then(|scope| scope.vehicle_ids.clone());
        vehicle_ids.map_or(VehicleScope::All, VehicleScope::Among)
    }

    /// Returns whether the caller may see the vehicle.
    pub(crate) async fn can_access_vehicle(
        &self,
        connection: &mut Connection,
        vehicle_id: VehicleId,
    ) -> Result<bool, StorageError> {
        match self.vehicle_access_in_scope(vehicle_id) {
            Some(can_access) => Ok(can_access),
            None => vehicles::is_owned_by(connection, vehicle_id, self.user.user_id).await,
        }
    }

    /// Like [`Self::can_access_vehicle`], but without a query: `None` for customers, whose vehicles must be
    /// queried.
    pub(crate) fn vehicle_access_in_scope(&self, vehicle_id: VehicleId) -> Option<bool> {
        match self.vehicle_scope() {
            VehicleScope::OwnedBy(_) => None,
            scope => Some(scope.covers(vehicle_id, None)),
        }
    }

    /// Returns the permission that an agent was admitted for by the endpoint; `None` for users.
    pub(crate) fn endpoint_permission(&self) -> Option<Permission> {
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
    /// the transaction, or fails as [`Access::change`](super::access::Access::change) does. A request may
    /// have waited since it was admitted.
    pub(super) async fn lock_credential(
        &self,
        transaction: &mut Transaction,
        now: DateTime<Utc>,
    ) -> Result<()> {
        let is_live = match &self.credential {
            Credential::Session(session_id) => {
                sessions::lock_live(transaction, *session_id, self.user.role, now).await?
            }
            Credential::ApiKey(hash) => {
                service_accounts::lock_valid(transaction, hash, now).await?
            }
        };
        if !is_live {
            return Err(AuthFailure::SessionRevoked.into());
        }
        let Some(agent_name) = self.agent_name() else {
            return Ok(());
        };
        for (index, permission) in self.admitted.iter().enumerate() {
            // Additional permissions are locked only if they allow changes.
            let is_locked = index == 0 || permission.is_write();
            if is_locked
                && !suspensions::lock_action_type(transaction, agent_name, permission.as_str())
                    .await?
            {
                return Err(Block::Suspended.into());
            }
        }
        Ok(())
    }

    /// Does the same for the sessions of several callers and returns those that are live. It does not wait:
    /// sessions that are about to end are omitted. Credentials of agents are not locked.
    pub(crate) async fn lock_sessions(
        transaction: &mut Transaction,
        callers: impl Iterator<Item = &Caller>,
        now: DateTime<Utc>,
    ) -> Result<HashSet<SessionId>, StorageError> {
        let sessions: HashMap<SessionId, Role> = callers
            .filter_map(|caller| Some((caller.session_id()?, caller.user.role)))
            .collect();
        let sessions: Vec<(SessionId, Role)> = sessions.into_iter().collect();
        sessions::lock_all_live(transaction, &sessions, now).await
    }

    /// Watches the credential of a stream, which must end with it.
    pub(crate) fn watch(&self, credentials: &CredentialCache) -> CredentialWatch {
        credentials.watch(&self.credential, self.user.user_id)
    }

    /// Creates an audit entry of an action of this caller.
    pub(crate) fn audit(&self, action: &'static str, entity_type: &'static str) -> AuditEntry {
        AuditEntry {
            user_id: Some(self.user.user_id),
            origin: self.origin.clone(),
            ..AuditEntry::new(action, entity_type)
        }
    }

    /// Creates an audit entry of an action of this caller on the object with the id.
    pub(crate) fn audit_of(
        &self,
        action: &'static str,
        entity_type: &'static str,
        entity_id: Uuid,
    ) -> AuditEntry {
        AuditEntry {
            entity_id: Some(entity_id),
            ..self.audit(action, entity_type)
        }
    }
}
