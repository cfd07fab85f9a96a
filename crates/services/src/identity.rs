//! Authentication, users, sessions and service accounts.

pub mod access;
pub mod auth;
pub(crate) mod caller;
pub(crate) mod credential_cache;
pub mod service_accounts;
pub mod users;
