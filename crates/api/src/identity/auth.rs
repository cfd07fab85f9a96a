//! `/api/v1/auth`

pub(crate) mod logout;
pub(crate) mod me;
pub(crate) mod password;
pub(crate) mod sessions;
pub(crate) mod tokens;
