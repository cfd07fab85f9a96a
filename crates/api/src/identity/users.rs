//! `/api/v1/users`

pub(crate) mod change;
pub(crate) mod create;

use actix_web::{HttpResponse, delete, get, web};
use chrono::{DateTime, Utc};
use sovd_domain::{Role, User, UserId};
use sovd_services::identity::users::UserFilter;
use uuid::Uuid;

use crate::{
    extract::{Authorized, ListQuery, PathId, list_query},
    permissions::ManageUsers,
    problem::Problem,
    state::ApiState,
};

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

list_query! {
    /// Filters and page of a list of users.
    ListUsers {
        /// Only users with this role: `admin`, `engineer`, `service`, `manufacturer` or `customer`.
        #[param(value_type = Option<String>, pattern = "^(admin|engineer|service|manufacturer|customer)$")]
        role: Option<Role>,
        /// Only users whose name or e-mail address contains this text, in any case.
        search: Option<String>,
    }
    "The maximum number of users: 1 to 100, by default 50."
    "The number of users to skip: 0 or more."
}

/// List users
///
/// Ordered by name. `X-Total-Count` has the number of matches, `Link` the next and the previous page.
#[utoipa::path(
    operation_id = "list_users",
    tag = "users",
    params(ListUsers),
    responses((status = 200, description = "One page of the matching users", body = Vec<UserBody>)),
)]
#[get("")]
pub(crate) async fn list(
    caller: Authorized<ManageUsers>,
    state: web::Data<ApiState>,
    request: ListQuery<ListUsers>,
) -> Result<HttpResponse, Problem> {
    let ListQuery {
        query,
        page,
        paging,
    } = request;
    let filter = UserFilter {
        role: query.role,
        search: query.search,
    };
    let users = state.users.list(&caller, &filter, page).await?;
    Ok(paging.respond::<_, UserBody>(users))
}

/// Get a user
#[utoipa::path(
    operation_id = "get_user",
    tag = "users",
    params(("user_id" = Uuid, Path, description = "The user")),
    responses((status = 200, description = "The user", body = UserBody)),
)]
#[get("/{user_id}")]
pub(crate) async fn get_user(
    caller: Authorized<ManageUsers>,
    state: web::Data<ApiState>,
    user_id: PathId<UserId>,
) -> Result<web::Json<UserBody>, Problem> {
    let user = state.users.get(&caller, user_id.0).await?;
    Ok(web::Json(user.into()))
}

/// Delete a user
///
/// Deletes the user with their sessions, commands, responses and vehicles, but keeps the audit trail. To
/// keep the history, disable the user instead.
#[utoipa::path(
    operation_id = "delete_user",
    tag = "users",
    params(("user_id" = Uuid, Path, description = "The user")),
    responses(
        (status = 204, description = "The user is deleted"),
        (status = 409, description = "`conflict`: no active admin would remain, or commands of the \
                                      user, or to their vehicles, have not ended"),
    ),
)]
#[delete("/{user_id}")]
pub(crate) async fn delete_user(
    caller: Authorized<ManageUsers>,
    state: web::Data<ApiState>,
    user_id: PathId<UserId>,
) -> Result<HttpResponse, Problem> {
    state.users.delete(&caller, user_id.0).await?;
    Ok(HttpResponse::NoContent().finish())
}
