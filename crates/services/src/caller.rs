use chrono::{DateTime, Utc};
use sovd_domain::{AuditEntry, Permission, SessionId, User, audit::Origin};

use crate::error::ServiceError;

/// Whoever asks, as the access token and the database know them.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The account, as it is now.
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

    /// The beginning of an audit line about something this caller did.
    pub(crate) fn audit(&self, action: &'static str, entity_type: &'static str) -> AuditEntry {
        AuditEntry {
            user_id: Some(self.user.user_id),
            origin: self.origin.clone(),
            ..AuditEntry::new(action, entity_type)
        }
    }
}
