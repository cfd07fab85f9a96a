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

/// A machine's account.
#[derive(Serialize, ToSchema)]
#[schema(as = ServiceAccount)]
pub(crate) struct ServiceAccountBody {
    /// Identifies the account; its commands and its audit lines have it as `user_id`.
    service_account_id: Uuid,
    /// What it is called.
    #[schema(example = "fleet-monitor")]
    name: String,
    /// The role that bounds its permissions: `admin`, `engineer`, `service` or `manufacturer`.
    #[schema(example = "engineer")]
    role: &'static str,
    /// What its key opens.
    #[schema(example = json!(["vehicles.read", "commands.read"]))]
    permissions: Vec<&'static str>,
    /// The vehicles it is good for; null is all.
    vehicle_ids: Option<Vec<Uuid>>,
    /// When it was made.
    created_at: DateTime<Utc>,
    /// The admin who made it; null when that account is deleted.
    created_by: Option<Uuid>,
    /// The moment from which its key opens nothing.
    expires_at: DateTime<Utc>,
    /// When the key was last used, to the minute.
    last_used_at: Option<DateTime<Utc>>,
    /// Where from.
    #[schema(example = "192.0.2.7")]
    last_used_from: Option<String>,
    /// When it was revoked; null while it is not.
    revoked_at: Option<DateTime<Utc>>,
}

/// A machine's account and its new key.
#[derive(Serialize, ToSchema)]
#[schema(as = IssuedKey)]
pub(crate) struct IssuedKeyBody {
    /// The account.
    service_account: ServiceAccountBody,
    /// The key, for `Authorization: Bearer`. It is shown this once.
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
