//! `/api/v1/users`

pub(crate) mod change;
pub(crate) mod create;
pub(crate) mod delete;
pub(crate) mod get;
pub(crate) mod list;

use chrono::{DateTime, Utc};
use sovd_domain::User;
use uuid::Uuid;

response_body! {
    /// A user.
    #[schema(as = User)]
    UserBody from user: User {
        /// Identifies the user.
        user_id: Uuid = user.user_id.0,
        /// The name used to log in.
        #[schema(example = "engineer")]
        username: String,
        /// The e-mail address.
        #[schema(example = "engineer@sovd.example.com")]
        email: String,
        /// `admin`, `engineer`, `service`, `manufacturer` or `customer`.
        #[schema(example = "engineer")]
        role: &'static str = user.role.as_str(),
        /// Whether the user may log in.
        is_active: bool,
        /// When the account was created.
        created_at: DateTime<Utc>,
    }
}
