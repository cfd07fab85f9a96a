//! `/api/v1/auth`

pub(crate) mod account;
pub(crate) mod sessions;
pub(crate) mod tokens;
