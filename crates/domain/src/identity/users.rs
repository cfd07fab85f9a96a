use chrono::{DateTime, Utc};

use crate::{ids::UserId, text_enum::text_enum};

/// A human user or the user of a service account. Only storage has the password hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Identifies the user.
    pub user_id: UserId,
    /// The unique name used to log in.
    pub username: String,
    /// The unique e-mail address.
    pub email: String,
    /// The role, which determines the [permissions](crate::Permission).
    pub role: Role,
    /// Whether the user may log in.
    pub is_active: bool,
    /// When the account was created.
    pub created_at: DateTime<Utc>,
}

text_enum! {
    /// The role of a user.
    Role, "role" {
        /// Operates the fleet; has every permission.
        Admin = "admin",
        /// Diagnoses vehicles: submits commands and sees their own.
        Engineer = "engineer",
        /// Works in a workshop: submits commands, diagnoses anomalies, manages bookings.
        Service = "service",
        /// Builds vehicles: analyzes failures across the fleet.
        Manufacturer = "manufacturer",
        /// Owns vehicles: sees them and books their service.
        Customer = "customer",
    }
}
