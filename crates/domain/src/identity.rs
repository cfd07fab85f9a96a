pub(crate) mod access_change;
pub(crate) mod permissions;
pub(crate) mod service_accounts;
pub(crate) mod sessions;
pub(crate) mod users;
