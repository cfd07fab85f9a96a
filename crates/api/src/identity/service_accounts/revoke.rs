use actix_web::{HttpResponse, delete, web::Data};
use sovd_domain::UserId;

use crate::{
    extract::{Authorized, PathId},
    permissions::ManageServiceAccounts,
    problem::{Problem, ProblemBody},
    state::ApiState,
};

/// Revoke a service account
///
/// For good: its key opens nothing any more, on every server within 5 seconds. It stays on the list,
/// because its commands and the audit trail name it.
#[utoipa::path(
    operation_id = "revoke_service_account",
    tag = "service accounts",
    security(("bearer" = [])),
    params(("service_account_id" = Uuid, Path, description = "The account")),
    responses(
        (status = 204, description = "It is revoked"),
        (status = 409, description = "`conflict`: it is revoked already",
         body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
#[delete("/{service_account_id}")]
pub(crate) async fn revoke(
    authorized: Authorized<ManageServiceAccounts>,
    state: Data<ApiState>,
    account_id: PathId<UserId>,
) -> Result<HttpResponse, Problem> {
    let revoking = state
        .service_accounts
        .revoke(&authorized.caller, account_id.0);
    revoking.await?;
    Ok(HttpResponse::NoContent().finish())
}
