use std::time::Duration;

use actix_web::{HttpResponse, post, web};
use secrecy::ExposeSecret;
use serde::Deserialize;
use sovd_domain::{Role, UserId, VehicleId};
use sovd_services::identity::service_accounts::{IssuedKey, NewServiceAccount};
use utoipa::ToSchema;
use uuid::Uuid;

use super::ServiceAccountBody;
use crate::{
    extract::{Authorized, JsonBody, PathId, created},
    permissions::ManageServiceAccounts,
    problem::Problem,
    state::ApiState,
};

response_body! {
    /// A service account and its new key.
    #[schema(as = IssuedKey)]
    IssuedKeyBody from issued: IssuedKey {
        /// The account.
        service_account: ServiceAccountBody = issued.account.into(),
        /// The key, for `Authorization: Bearer`. No other response contains it.
        #[schema(example = "sovd_2Zk…")]
        api_key: String = issued.key.expose_secret().to_owned(),
    }
}

/// A service account to create.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CreateServiceAccountRequest {
    /// 1 to 50 lower-case letters, digits, `.`, `_` and `-`, starting with a letter or digit.
    #[schema(pattern = "^[a-z0-9][a-z0-9._-]{0,49}$", example = "fleet-monitor")]
    name: String,
    /// `admin`, `engineer`, `service` or `manufacturer`: the role that bounds the permissions.
    #[schema(value_type = String, pattern = "^(admin|engineer|service|manufacturer)$", example = "engineer")]
    role: Role,
    /// 1 to 20 of `account.read`, `vehicles.read`, `commands.submit`, `commands.cancel`,
    /// `commands.read`, `commands.read_all`, `anomalies.read`, `anomalies.record`, `bookings.read`,
    /// `bookings.book`, `bookings.manage` and, without `vehicle_ids`, `vehicles.manage`,
    /// `insights.read`, `insights.record`, `agents.read`, `agents.record` and `audit.read`, if the role
    /// has them. `bookings.manage` requires `bookings.book`.
    #[schema(min_items = 1, max_items = 20,
             example = json!(["vehicles.read", "commands.read"]))]
    permissions: Vec<String>,
    /// The ids of 1 to 1000 vehicles that the key is limited to; omit for the whole fleet.
    #[serde(default)]
    #[schema(min_items = 1, max_items = 1000)]
    vehicle_ids: Option<Vec<Uuid>>,
    /// The lifetime of the key in days: 1 to 366.
    #[schema(minimum = 1, maximum = 366, example = 90)]
    expires_in_days: u32,
}

/// Create a service account
///
/// Only this response contains the key. Operations that change something also require an entry for the
/// account in the configuration (`agents.allow`).
#[utoipa::path(
    operation_id = "create_service_account",
    tag = "service accounts",
    request_body = CreateServiceAccountRequest,
    responses(
        (status = 201, description = "The account and its key", body = IssuedKeyBody,
         headers(("Location" = String))),
        (status = 409, description = "`conflict`: the name is taken"),
    ),
)]
#[post("")]
pub(crate) async fn create(
    caller: Authorized<ManageServiceAccounts>,
    state: web::Data<ApiState>,
    body: JsonBody<CreateServiceAccountRequest>,
) -> Result<HttpResponse, Problem> {
    let issued = state
        .service_accounts
        .create(&caller, body.0.into())
        .await?;
    let location = format!("/api/v1/service-accounts/{}", issued.account.user.user_id);
    Ok(created(location, IssuedKeyBody::from(issued)))
}

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

impl From<CreateServiceAccountRequest> for NewServiceAccount {
    fn from(request: CreateServiceAccountRequest) -> Self {
        let vehicle_ids = |ids: Vec<Uuid>| ids.into_iter().map(VehicleId).collect();
        Self {
            name: request.name,
            role: request.role,
            permissions: request.permissions,
            vehicle_ids: request.vehicle_ids.map(vehicle_ids),
            lifetime: days(request.expires_in_days),
        }
    }
}

fn days(count: u32) -> Duration {
    Duration::from_hours(24 * u64::from(count))
}
