use actix_web::{
    post,
    web::{Data, Json},
};
use serde::Deserialize;
use sovd_domain::UserId;
use utoipa::ToSchema;

use super::{IssuedKeyBody, create::days};
use crate::{
    extract::{Authorized, JsonBody, PathId},
    permissions::ManageServiceAccounts,
    problem::{Problem, ProblemBody},
    state::ApiState,
};

/// How long another key shall be good.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RenewKeyRequest {
    /// For how many days the key is good: 1 to 366.
    #[schema(minimum = 1, maximum = 366, example = 90)]
    expires_in_days: u32,
}

/// Give a service account another key
///
/// The answer shows it, this once. The one before opens nothing any more.
#[utoipa::path(
    operation_id = "renew_service_account_key",
    tag = "service accounts",
    security(("bearer" = [])),
    params(("service_account_id" = Uuid, Path, description = "The account")),
    request_body = RenewKeyRequest,
    responses(
        (status = 200, description = "The account and its new key", body = IssuedKeyBody),
        (status = 409, description = "`conflict`: the account is revoked",
         body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
#[post("/{service_account_id}/key")]
pub(crate) async fn renew_key(
    authorized: Authorized<ManageServiceAccounts>,
    state: Data<ApiState>,
    account_id: PathId<UserId>,
    body: JsonBody<RenewKeyRequest>,
) -> Result<Json<IssuedKeyBody>, Problem> {
    let renewing = state.service_accounts.renew_key(
        &authorized.caller,
        account_id.0,
        days(body.0.expires_in_days),
    );
    Ok(Json(renewing.await?.into()))
}
