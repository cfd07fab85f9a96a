//! Endpoints of authentication, users and service accounts.

pub(crate) mod auth;
pub(crate) mod service_accounts;
pub(crate) mod users;
