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

/// Which users.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListUsers {
    /// Those of this role: `admin`, `engineer`, `service`, `manufacturer` or `customer`.
    #[param(value_type = Option<String>, pattern = "^(admin|engineer|service|manufacturer|customer)$")]
    role: Option<Role>,
    /// Those with this in their name or address, whatever its case.
    search: Option<String>,
    /// How many at most: 1 to 100, 50 when left out.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<i64>,
    /// How many to pass over: 0 or more.
    #[param(minimum = 0)]
    offset: Option<i64>,
}

/// List users
///
/// By name. `X-Total-Count` tells how many match, `Link` where the next and the previous page are.
#[utoipa::path(
    operation_id = "list_users",
    tag = "users",
    security(("bearer" = [])),
    params(ListUsers),
    responses(
        (status = 200, description = "One page of the users that match", body = Vec<UserBody>,
         headers(("X-Total-Count" = i64), ("Link" = String))),
    ),
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
