//! `/api/v1/auth`

pub(crate) mod login;
pub(crate) mod logout;
pub(crate) mod me;
pub(crate) mod password;
pub(crate) mod refresh;
pub(crate) mod sessions;

use secrecy::ExposeSecret;
use serde::Serialize;
use sovd_services::identity::auth::TokenPair;
use utoipa::ToSchema;

/// The tokens of a session.
#[derive(Serialize, ToSchema)]
#[schema(as = Tokens)]
pub(crate) struct TokensBody {
    /// A JWT for the `Authorization` header.
    access_token: String,
    /// Valid for one refresh.
    refresh_token: String,
    /// Always `bearer` (RFC 6750).
    #[schema(example = "bearer")]
    token_type: &'static str,
    /// The lifetime of the access token in seconds.
    #[schema(example = 900)]
    expires_in: u64,
}

impl From<TokenPair> for TokensBody {
    fn from(tokens: TokenPair) -> Self {
        Self {
            access_token: tokens.access_token.expose_secret().to_owned(),
            refresh_token: tokens.refresh_token.expose_secret().to_owned(),
            token_type: "bearer",
            expires_in: tokens.expires_in.as_secs(),
        }
    }
}
