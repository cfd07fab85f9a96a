use actix_web::{HttpRequest, HttpResponse, get, web::Data};
use serde::Deserialize;
use utoipa::IntoParams;

use super::ServiceAccountBody;
use crate::{
    extract::{Authorized, QueryParams, page, page_of},
    permissions::ManageServiceAccounts,
    problem::Problem,
    state::ApiState,
};

/// Which service accounts.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListServiceAccounts {
    /// How many at most: 1 to 100, 50 when left out.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<i64>,
    /// How many to pass over: 0 or more.
    #[param(minimum = 0)]
    offset: Option<i64>,
}

/// List service accounts
///
/// By name, revoked ones too. `X-Total-Count` tells how many there are, `Link` where the next and the
/// previous page are.
#[utoipa::path(
    operation_id = "list_service_accounts",
    tag = "service accounts",
    security(("bearer" = [])),
    params(ListServiceAccounts),
    responses(
        (status = 200, description = "One page of the accounts", body = Vec<ServiceAccountBody>,
         headers(("X-Total-Count" = i64), ("Link" = String))),
    ),
)]
#[get("")]
pub(crate) async fn list(
    request: HttpRequest,
    authorized: Authorized<ManageServiceAccounts>,
    state: Data<ApiState>,
    query: QueryParams<ListServiceAccounts>,
) -> Result<HttpResponse, Problem> {
    let page = page(query.0.limit, query.0.offset)?;
    let listing = state.service_accounts.list(&authorized.caller, page);
    let (accounts, total) = listing.await?;
    let bodies: Vec<ServiceAccountBody> =
        accounts.into_iter().map(ServiceAccountBody::from).collect();
    Ok(page_of(&request, page, total, bodies))
}
