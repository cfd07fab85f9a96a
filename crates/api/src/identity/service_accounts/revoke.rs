use actix_web::{HttpResponse, delete, web::Data};
use sovd_domain::UserId;

use crate::{
    extract::{Authorized, PathId},
    permissions::ManageServiceAccounts,
    problem::Problem,
    state::ApiState,
};

/// Revoke a service account
///
/// Revokes the key permanently, on every server within 5 seconds. The account stays in the list because
/// commands and the audit trail refer to it.
#[utoipa::path(
    operation_id = "revoke_service_account",
    tag = "service accounts",
    params(("service_account_id" = Uuid, Path, description = "The account")),
    responses(
        (status = 204, description = "The account is revoked"),
        (status = 409, description = "`conflict`: the account is already revoked"),
    ),
)]
#[delete("/{service_account_id}")]
pub(crate) async fn revoke(
    caller: Authorized<ManageServiceAccounts>,
    state: Data<ApiState>,
    account_id: PathId<UserId>,
) -> Result<HttpResponse, Problem> {
    state.service_accounts.revoke(&caller, account_id.0).await?;
    Ok(HttpResponse::NoContent().finish())
}
