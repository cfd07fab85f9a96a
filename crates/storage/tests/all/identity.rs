pub(crate) mod service_accounts;
pub(crate) mod sessions;
pub(crate) mod spent_tokens;
pub(crate) mod user_changes;
pub(crate) mod users;
