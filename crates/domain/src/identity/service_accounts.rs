//! Machines that call with a key instead of a password.

use std::net::IpAddr;

use chrono::{DateTime, Utc};

use crate::{
    identity::{permissions::Permission, users::User},
    ids::{UserId, VehicleId},
};

/// A machine's account. Its key stays in storage, as a hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceAccount {
    /// What it is known by wherever users are: its commands and its audit lines are this user's.
    pub user: User,
    /// What its key opens.
    pub scope: Scope,
    /// The admin who made it; nobody when that account is deleted.
    pub created_by: Option<UserId>,
    /// The moment from which its key opens nothing.
    pub expires_at: DateTime<Utc>,
    /// When the key was last used, to the minute.
    pub last_used_at: Option<DateTime<Utc>>,
    /// Where from.
    pub last_used_from: Option<IpAddr>,
    /// When it was revoked.
    pub revoked_at: Option<DateTime<Utc>>,
}

/// What a key opens, of all that the role of its account may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// What its holder may do.
    pub permissions: Vec<Permission>,
    /// The vehicles it is good for; nothing when it is good for all.
    pub vehicle_ids: Option<Vec<VehicleId>>,
}

/// Which vehicles somebody may know of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum VehicleScope {
    /// Every one.
    #[default]
    All,
    /// These, and no other.
    Among(Vec<VehicleId>),
    /// Those that belong to a customer.
    OwnedBy(UserId),
}

impl VehicleScope {
    /// Whether a vehicle of this owner is one of them.
    pub fn covers(&self, vehicle_id: VehicleId, owner_id: Option<UserId>) -> bool {
        match self {
            Self::All => true,
            Self::Among(ids) => ids.contains(&vehicle_id),
            Self::OwnedBy(customer) => owner_id == Some(*customer),
        }
    }
}
