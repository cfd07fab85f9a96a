//! Users, sessions and service accounts.

pub mod service_accounts;
pub mod sessions;
pub mod users;
