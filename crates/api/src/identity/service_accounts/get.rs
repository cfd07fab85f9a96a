use actix_web::{get, web};
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
    caller: Authorized<ManageServiceAccounts>,
    state: web::Data<ApiState>,
    account_id: PathId<UserId>,
) -> Result<web::Json<ServiceAccountBody>, Problem> {
    let account = state.service_accounts.get(&caller, account_id.0).await?;
    Ok(web::Json(account.into()))
}
