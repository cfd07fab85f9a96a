use std::net::IpAddr;

use chrono::{DateTime, Utc};

use crate::{
    identity::{permissions::Permission, users::User},
    ids::{UserId, VehicleId},
};

/// The account of a machine, which authenticates with an API key. Only storage has the hash of its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceAccount {
    /// The user that owns its commands and audit entries.
    pub user: User,
    /// The permissions of its key.
    pub scope: Scope,
    /// The admin who created it, unless that user is deleted.
    pub created_by: Option<UserId>,
    /// When the key expires.
    pub expires_at: DateTime<Utc>,
    /// When the key was last used, with a resolution of one minute.
    pub last_used_at: Option<DateTime<Utc>>,
    /// The address of the client that last used it.
    pub last_used_from: Option<IpAddr>,
    /// When it was revoked, if it was.
    pub revoked_at: Option<DateTime<Utc>>,
}

/// The permissions of an API key, a subset of those of its role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// The permissions.
    pub permissions: Vec<Permission>,
    /// The vehicles it is limited to; `None` for the whole fleet.
    pub vehicle_ids: Option<Vec<VehicleId>>,
}
