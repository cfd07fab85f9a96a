use actix_web::{HttpResponse, get, web::Data};

use super::ServiceAccountBody;
use crate::{
    extract::{Authorized, ListQuery, list_query},
    permissions::ManageServiceAccounts,
    problem::Problem,
    state::ApiState,
};

list_query! {
    /// The page of a list of service accounts.
    ListServiceAccounts {}
    "The maximum number of accounts: 1 to 100, by default 50."
    "The number of accounts to skip: 0 or more."
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
    caller: Authorized<ManageServiceAccounts>,
    state: Data<ApiState>,
    request: ListQuery<ListServiceAccounts>,
) -> Result<HttpResponse, Problem> {
    let paging = request.paging;
    let accounts = state.service_accounts.list(&caller, paging.page).await?;
    Ok(paging.respond::<_, ServiceAccountBody>(accounts))
}
