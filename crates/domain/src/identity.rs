//! Users, sessions, service accounts, roles and permissions.

pub mod access_change;
pub mod permissions;
pub mod service_accounts;
pub mod sessions;
pub mod users;
