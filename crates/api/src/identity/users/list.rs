use actix_web::{HttpRequest, HttpResponse, get, web::Data};
use serde::Deserialize;
use sovd_domain::Role;
use sovd_services::identity::users::UserFilter;
use utoipa::IntoParams;

use super::UserBody;
use crate::{
    extract::{Authorized, QueryParams, page, page_of},
    permissions::ManageUsers,
    problem::Problem,
    state::ApiState,
};

/// Filters and page of a list of users.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListUsers {
    /// Only users with this role: `admin`, `engineer`, `service`, `manufacturer` or `customer`.
    #[param(value_type = Option<String>, pattern = "^(admin|engineer|service|manufacturer|customer)$")]
    role: Option<Role>,
    /// Only users whose name or e-mail address contains this text, in any case.
    search: Option<String>,
    /// The maximum number of users: 1 to 100, by default 50.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<i64>,
    /// The number of users to skip: 0 or more.
    #[param(minimum = 0)]
    offset: Option<i64>,
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
    request: HttpRequest,
    authorized: Authorized<ManageUsers>,
    state: Data<ApiState>,
    query: QueryParams<ListUsers>,
) -> Result<HttpResponse, Problem> {
    let query = query.0;
    let page = page(query.limit, query.offset)?;
    let filter = UserFilter {
        role: query.role,
        search: query.search,
    };
    let (users, total) = state.users.list(&authorized.caller, &filter, page).await?;
    let bodies: Vec<UserBody> = users.into_iter().map(UserBody::from).collect();
    Ok(page_of(&request, page, total, bodies))
}
