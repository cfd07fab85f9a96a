//! The people who log in.

use chrono::{DateTime, Utc};

use crate::{ids::UserId, text_enum::text_enum};

/// A person with an account. The password hash stays in storage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Identifies the user.
    pub user_id: UserId,
    /// The name used to log in; unique.
    pub username: String,
    /// Unique.
    pub email: String,
    /// What the user may do, see [`crate::identity::permissions`].
    pub role: Role,
    /// Whether the user may log in.
    pub is_active: bool,
    /// When the account was made.
    pub created_at: DateTime<Utc>,
}

text_enum! {
    /// What kind of user somebody is.
    Role, "role" {
        /// Runs the fleet: may do everything.
        Admin = "admin",
        /// Diagnoses vehicles: sends commands and sees the own ones.
        Engineer = "engineer",
        /// Works in a workshop: looks at vehicles, records what is wrong with them, keeps bookings.
        Service = "service",
        /// Makes vehicles: learns from what fails in all of them.
        Manufacturer = "manufacturer",
        /// Owns vehicles: sees the own ones and books their service.
        Customer = "customer",
    }
}
