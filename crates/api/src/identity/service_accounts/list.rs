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

/// The page of a list of service accounts.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListServiceAccounts {
    /// The maximum number of accounts: 1 to 100, by default 50.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<i64>,
    /// The number of accounts to skip: 0 or more.
    #[param(minimum = 0)]
    offset: Option<i64>,
}

/// List service accounts
///
/// Ordered by name, including revoked accounts. `X-Total-Count` has the number of accounts, `Link` the next
/// and the previous page.
#[utoipa::path(
    operation_id = "list_service_accounts",
    tag = "service accounts",
    params(ListServiceAccounts),
    responses(
        (status = 200, description = "One page of the accounts", body = Vec<ServiceAccountBody>),
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
    let (accounts, total) = state
        .service_accounts
        .list(&authorized.caller, page)
        .await?;
    let bodies: Vec<ServiceAccountBody> =
        accounts.into_iter().map(ServiceAccountBody::from).collect();
    Ok(page_of(&request, page, total, bodies))
}
