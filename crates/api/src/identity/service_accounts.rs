//! `/api/v1/service-accounts`

pub(crate) mod issue;

use actix_web::{HttpResponse, delete, get, web};
use chrono::{DateTime, Utc};
use sovd_domain::{Permission, ServiceAccount, UserId};
use uuid::Uuid;

use crate::{
    extract::{Authorized, ListQuery, PathId, list_query},
    permissions::ManageServiceAccounts,
    problem::Problem,
    state::ApiState,
};

response_body! {
    /// The account of a machine.
    #[schema(as = ServiceAccount)]
    ServiceAccountBody from account: ServiceAccount {
        /// Identifies the account; the `user_id` of its commands and audit entries.
        service_account_id: Uuid = account.user.user_id.0,
        /// The unique name.
        #[schema(example = "fleet-monitor")]
        name: String = account.user.username,
        /// The role that bounds its permissions: `admin`, `engineer`, `service` or `manufacturer`.
        #[schema(example = "engineer")]
        role: &'static str = account.user.role.as_str(),
        /// The permissions of its key.
        #[schema(example = json!(["vehicles.read", "commands.read"]))]
        permissions: Vec<&'static str> =
            account.scope.permissions.into_iter().map(Permission::as_str).collect(),
        /// The vehicles it is limited to; null for the whole fleet.
        vehicle_ids: Option<Vec<Uuid>> =
            account.scope.vehicle_ids.map(|ids| ids.into_iter().map(|id| id.0).collect()),
        /// When the account was created.
        created_at: DateTime<Utc> = account.user.created_at,
        /// The admin who created it; null if that user is deleted.
        created_by: Option<Uuid> = account.created_by.map(|id| id.0),
        /// When the key expires.
        expires_at: DateTime<Utc>,
        /// When the key was last used, with a resolution of one minute.
        last_used_at: Option<DateTime<Utc>>,
        /// The address of the client that last used it.
        #[schema(example = "192.0.2.7")]
        last_used_from: Option<String> = account.last_used_from.map(|address| address.to_string()),
        /// When the account was revoked; null if it was not.
        revoked_at: Option<DateTime<Utc>>,
    }
}

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
    state: web::Data<ApiState>,
    request: ListQuery<ListServiceAccounts>,
) -> Result<HttpResponse, Problem> {
    let paging = request.paging;
    let accounts = state.service_accounts.list(&caller, request.page).await?;
    Ok(paging.respond::<_, ServiceAccountBody>(accounts))
}

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
    state: web::Data<ApiState>,
    account_id: PathId<UserId>,
) -> Result<HttpResponse, Problem> {
    state.service_accounts.revoke(&caller, account_id.0).await?;
    Ok(HttpResponse::NoContent().finish())
}
