//! `/api/v1/service-accounts`

pub(crate) mod create;
pub(crate) mod get;
pub(crate) mod list;
pub(crate) mod renew_key;
pub(crate) mod revoke;

use chrono::{DateTime, Utc};
use secrecy::ExposeSecret;
use sovd_domain::{Permission, ServiceAccount};
use sovd_services::identity::service_accounts::IssuedKey;
use uuid::Uuid;

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
