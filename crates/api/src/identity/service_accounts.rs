//! `/api/v1/service-accounts`

pub(crate) mod create;
pub(crate) mod get;
pub(crate) mod list;
pub(crate) mod renew_key;
pub(crate) mod revoke;

use chrono::{DateTime, Utc};
use secrecy::ExposeSecret;
use serde::Serialize;
use sovd_domain::{Permission, ServiceAccount};
use sovd_services::identity::service_accounts::IssuedKey;
use utoipa::ToSchema;
use uuid::Uuid;

/// The account of a machine.
#[derive(Serialize, ToSchema)]
#[schema(as = ServiceAccount)]
pub(crate) struct ServiceAccountBody {
    /// Identifies the account; the `user_id` of its commands and audit entries.
    service_account_id: Uuid,
    /// The unique name.
    #[schema(example = "fleet-monitor")]
    name: String,
    /// The role that bounds its permissions: `admin`, `engineer`, `service` or `manufacturer`.
    #[schema(example = "engineer")]
    role: &'static str,
    /// The permissions of its key.
    #[schema(example = json!(["vehicles.read", "commands.read"]))]
    permissions: Vec<&'static str>,
    /// The vehicles it is limited to; null for the whole fleet.
    vehicle_ids: Option<Vec<Uuid>>,
    /// When the account was created.
    created_at: DateTime<Utc>,
    /// The admin who created it; null if that user is deleted.
    created_by: Option<Uuid>,
    /// When the key expires.
    expires_at: DateTime<Utc>,
    /// When the key was last used, with a resolution of one minute.
    last_used_at: Option<DateTime<Utc>>,
    /// The address of the client that last used it.
    #[schema(example = "192.0.2.7")]
    last_used_from: Option<String>,
    /// When the account was revoked; null if it was not.
    revoked_at: Option<DateTime<Utc>>,
}

/// A service account and its new key.
#[derive(Serialize, ToSchema)]
#[schema(as = IssuedKey)]
pub(crate) struct IssuedKeyBody {
    /// The account.
    service_account: ServiceAccountBody,
    /// The key, for `Authorization: Bearer`. No other response contains it.
    #[schema(example = "sovd_2Zk…")]
    api_key: String,
}

impl From<ServiceAccount> for ServiceAccountBody {
    fn from(account: ServiceAccount) -> Self {
        let permissions = account.scope.permissions.into_iter();
        Self {
            service_account_id: account.user.user_id.0,
            name: account.user.username,
            role: account.user.role.as_str(),
            permissions: permissions.map(Permission::as_str).collect(),
            vehicle_ids: account
                .scope
                .vehicle_ids
                .map(|ids| ids.into_iter().map(|id| id.0).collect()),
            created_at: account.user.created_at,
            created_by: account.created_by.map(|id| id.0),
            expires_at: account.expires_at,
            last_used_at: account.last_used_at,
            last_used_from: account.last_used_from.map(|address| address.to_string()),
            revoked_at: account.revoked_at,
        }
    }
}

impl From<IssuedKey> for IssuedKeyBody {
    fn from(issued: IssuedKey) -> Self {
        Self {
            service_account: issued.account.into(),
            api_key: issued.key.expose_secret().to_owned(),
        }
    }
}
