//! `/api/v1/users`

pub(crate) mod change;
pub(crate) mod create;
pub(crate) mod delete;
pub(crate) mod get;
pub(crate) mod list;

use chrono::{DateTime, Utc};
use serde::Serialize;
use sovd_domain::User;
use utoipa::ToSchema;
use uuid::Uuid;

/// A user.
#[derive(Serialize, ToSchema)]
#[schema(as = User)]
pub(crate) struct UserBody {
    /// Identifies the user.
    user_id: Uuid,
    /// The name used to log in.
    #[schema(example = "engineer")]
    username: String,
    /// The e-mail address.
    #[schema(example = "engineer@sovd.example.com")]
    email: String,
    /// `admin`, `engineer`, `service`, `manufacturer` or `customer`.
    #[schema(example = "engineer")]
    role: &'static str,
    /// Whether the user may log in.
    is_active: bool,
    /// When the account was created.
    created_at: DateTime<Utc>,
}

impl From<User> for UserBody {
    fn from(user: User) -> Self {
        Self {
            user_id: user.user_id.0,
            username: user.username,
            email: user.email,
            role: user.role.as_str(),
            is_active: user.is_active,
            created_at: user.created_at,
        }
    }
}
