use chrono::{DateTime, Utc};
use sovd_domain::{AuditEntry, Permission, SessionId, User, audit::Origin};

use crate::{
    callers::{Callers, SessionWatch},
    error::ServiceError,
};

/// Whoever asks, as the access token and the database know them.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The account, as it was a few seconds ago or is now.
    pub user: User,
    /// The login the token belongs to.
    pub session_id: SessionId,
    /// The moment at which the access token ends.
    pub expires_at: DateTime<Utc>,
    /// Where the request came from.
    pub origin: Origin,
}

impl Caller {
    /// Refuses whoever lacks `permission`.
    ///
    /// # Errors
    ///
    /// [`ServiceError::Forbidden`].
    pub fn require(&self, permission: Permission) -> Result<(), ServiceError> {
        if permission.is_granted_to(self.user.role) {
            Ok(())
        } else {
            Err(ServiceError::Forbidden)
        }
    }

    /// Watches the session for a stream that must not outlive it.
    pub(crate) fn watch(&self, callers: &Callers) -> SessionWatch {
        callers.watch(self.session_id, self.user.user_id)
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
