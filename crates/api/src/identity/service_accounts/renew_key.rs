use actix_web::{post, web};
use serde::Deserialize;
use sovd_domain::UserId;
use utoipa::ToSchema;

use super::{IssuedKeyBody, create::days};
use crate::{
    extract::{Authorized, JsonBody, PathId},
    permissions::ManageServiceAccounts,
    problem::Problem,
    state::ApiState,
};

/// The lifetime of a new key.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RenewKeyRequest {
    /// The lifetime of the key in days: 1 to 366.
    #[schema(minimum = 1, maximum = 366, example = 90)]
    expires_in_days: u32,
}

/// Renew the key of a service account
///
/// Only this response contains the new key. The previous key is revoked.
#[utoipa::path(
    operation_id = "renew_service_account_key",
    tag = "service accounts",
    params(("service_account_id" = Uuid, Path, description = "The account")),
    request_body = RenewKeyRequest,
    responses(
        (status = 200, description = "The account and its new key", body = IssuedKeyBody),
        (status = 409, description = "`conflict`: the account is revoked"),
    ),
)]
#[post("/{service_account_id}/key")]
pub(crate) async fn renew_key(
    caller: Authorized<ManageServiceAccounts>,
    state: web::Data<ApiState>,
    account_id: PathId<UserId>,
    body: JsonBody<RenewKeyRequest>,
) -> Result<web::Json<IssuedKeyBody>, Problem> {
    let lifetime = days(body.0.expires_in_days);
    let issued = state
        .service_accounts
        .renew_key(&caller, account_id.0, lifetime)
        .await?;
    Ok(web::Json(issued.into()))
}
