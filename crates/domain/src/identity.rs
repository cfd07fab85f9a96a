//! Users, sessions, service accounts, and what each may do.

pub mod access_change;
pub mod permissions;
pub mod service_accounts;
pub mod sessions;
pub mod users;
