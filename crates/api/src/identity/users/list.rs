use actix_web::{HttpResponse, get, web::Data};
use sovd_domain::Role;
use sovd_services::identity::users::UserFilter;

use super::UserBody;
use crate::{
    extract::{Authorized, ListQuery, list_query},
    permissions::ManageUsers,
    problem::Problem,
    state::ApiState,
};

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
    state: Data<ApiState>,
    request: ListQuery<ListUsers>,
) -> Result<HttpResponse, Problem> {
    let ListQuery { query, paging } = request;
    let filter = UserFilter {
        role: query.role,
        search: query.search,
    };
    let users = state.users.list(&caller, &filter, paging.page).await?;
    Ok(paging.respond::<_, UserBody>(users))
}
