//! Entries of the audit trail, and the hash chain that protects them.

mod chain;

use std::net::IpAddr;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    ids::{CommandId, UserId, VehicleId},
    text_enum::text_enum,
};

pub use chain::{ChainHash, InvalidChainHash, Link};

/// An entry of the audit trail that is about to be stored.
#[derive(Debug, Clone, PartialEq)]
pub struct AuditEntry {
    /// The action, such as `command.submit`.
    pub action: &'static str,
    /// The result of the action.
    pub result: AuditResult,
    /// The type of the entity acted on, such as `command`.
    pub entity_type: &'static str,
    /// The entity acted on.
    pub entity_id: Option<Uuid>,
    /// The actor; `None` for the program itself and for unauthenticated callers.
    pub user_id: Option<UserId>,
    /// The vehicle concerned.
    pub vehicle_id: Option<VehicleId>,
    /// The command concerned.
    pub command_id: Option<CommandId>,
    /// Further details, as a JSON object without secrets.
    pub details: Value,
    /// The origin of the request.
    pub origin: Origin,
}

/// A stored entry of the audit trail.
#[derive(Debug, Clone, PartialEq)]
pub struct AuditRecord {
    /// Identifies the entry.
    pub log_id: Uuid,
    /// The action.
    pub action: String,
    /// The result of the action.
    pub result: AuditResult,
    /// The type of the entity acted on.
    pub entity_type: String,
    /// The entity acted on.
    pub entity_id: Option<Uuid>,
    /// The actor, even if the user has since been deleted.
    pub user_id: Option<UserId>,
    /// The vehicle concerned, even if it has since been deleted.
    pub vehicle_id: Option<VehicleId>,
    /// The command concerned, even if it has since been deleted.
    pub command_id: Option<CommandId>,
    /// Further details.
    pub details: Value,
    /// The address of the client, as text.
    pub ip_address: Option<String>,
    /// The `User-Agent` header of the request.
    pub user_agent: Option<String>,
    /// Correlates the entry with the logs.
    pub request_id: Option<String>,
    /// The time of the action.
    pub timestamp: DateTime<Utc>,
    /// Its link in the hash chain; `None` until it is sealed, about a second after it was stored.
    pub link: Option<Link>,
}

text_enum! {
    /// The result of an attempted action.
    AuditResult, "result" {
        /// The action took place.
        Done = "done",
        /// The caller was not authenticated or not authorized.
        Refused = "refused",
        /// The caller was authorized, but the action did not succeed.
        Failed = "failed",
    }
}

/// The origin of a request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origin {
    /// The client's address.
    pub ip_address: Option<IpAddr>,
    /// The `User-Agent` header of the request.
    pub user_agent: Option<String>,
    /// Correlates the entry with the logs.
    pub request_id: Option<String>,
}

impl AuditEntry {
    /// Returns an entry for an action that took place, without an actor or details.
    pub fn new(action: &'static str, entity_type: &'static str) -> Self {
        Self {
            action,
            result: AuditResult::Done,
            entity_type,
            entity_id: None,
            user_id: None,
            vehicle_id: None,
            command_id: None,
            details: json!({}),
            origin: Origin::default(),
        }
    }
}
