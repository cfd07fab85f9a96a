use actix_web::{
    get,
    web::{Data, Json},
};
use sovd_domain::UserId;

use super::ServiceAccountBody;
use crate::{
    extract::{Authorized, PathId},
    permissions::ManageServiceAccounts,
    problem::Problem,
    state::ApiState,
};

/// Get a service account
#[utoipa::path(
    operation_id = "get_service_account",
    tag = "service accounts",
    params(("service_account_id" = Uuid, Path, description = "The account")),
    responses(
        (status = 200, description = "The account, without its key", body = ServiceAccountBody),
    ),
)]
#[get("/{service_account_id}")]
pub(crate) async fn get_service_account(
    authorized: Authorized<ManageServiceAccounts>,
    state: Data<ApiState>,
    account_id: PathId<UserId>,
) -> Result<Json<ServiceAccountBody>, Problem> {
    let account = state
        .service_accounts
        .get(&authorized.caller, account_id.0)
        .await?;
    Ok(Json(account.into()))
}
