//! `/api/v1/auth`

pub(crate) mod login;
pub(crate) mod logout;
pub(crate) mod me;
pub(crate) mod password;
pub(crate) mod refresh;
pub(crate) mod sessions;

use secrecy::ExposeSecret;
use sovd_services::identity::auth::TokenPair;

response_body! {
    /// The tokens of a session.
    #[schema(as = Tokens)]
    TokensBody from tokens: TokenPair {
        /// A JWT for the `Authorization` header.
        access_token: String = tokens.access_token.expose_secret().to_owned(),
        /// Valid for one refresh.
        refresh_token: String = tokens.refresh_token.expose_secret().to_owned(),
        /// Always `bearer` (RFC 6750).
        #[schema(example = "bearer")]
        token_type: &'static str = "bearer",
        /// The lifetime of the access token in seconds.
        #[schema(example = 900)]
        expires_in: u64 = tokens.expires_in.as_secs(),
    }
}
