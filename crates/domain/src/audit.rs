//! The audit trail.

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

/// One line of the audit trail, before it is written.
#[derive(Debug, Clone, PartialEq)]
pub struct AuditEntry {
    /// What was done, such as `command.submit`.
    pub action: &'static str,
    /// What came of it.
    pub result: AuditResult,
    /// The kind of thing it was done to, such as `command`.
    pub entity_type: &'static str,
    /// The thing it was done to.
    pub entity_id: Option<Uuid>,
    /// Who did it; nobody when the program did or the caller is unknown.
    pub user_id: Option<UserId>,
    /// The vehicle concerned.
    pub vehicle_id: Option<VehicleId>,
    /// The command concerned.
    pub command_id: Option<CommandId>,
    /// Whatever else tells the story; never a secret.
    pub details: Value,
    /// Where the request came from.
    pub origin: Origin,
}

/// One line of the audit trail, as it was written.
#[derive(Debug, Clone, PartialEq)]
pub struct AuditRecord {
    /// Identifies the line.
    pub log_id: Uuid,
    /// What was done.
    pub action: String,
    /// What came of it.
    pub result: AuditResult,
    /// The kind of thing it was done to.
    pub entity_type: String,
    /// The thing it was done to.
    pub entity_id: Option<Uuid>,
    /// Who did it, also when the user was deleted since.
    pub user_id: Option<UserId>,
    /// The vehicle concerned, also when it was deleted since.
    pub vehicle_id: Option<VehicleId>,
    /// The command concerned, also when it was deleted since.
    pub command_id: Option<CommandId>,
    /// Whatever else tells the story.
    pub details: Value,
    /// Where the request came from, as text.
    pub ip_address: Option<String>,
    /// What the client called itself.
    pub user_agent: Option<String>,
    /// Ties the line to the logs.
    pub request_id: Option<String>,
    /// When it was done.
    pub timestamp: DateTime<Utc>,
    /// Its place in the chain; nothing until the line is sealed, about a second after it was written.
    pub link: Option<Link>,
}

text_enum! {
    /// What came of something that was tried.
    AuditResult, "result" {
        /// It happened.
        Done = "done",
        /// Whoever tried may not, or is not who they say.
        Refused = "refused",
        /// They may, and it did not work.
        Failed = "failed",
    }
}

/// Where a request came from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origin {
    /// The client's address.
    pub ip_address: Option<IpAddr>,
    /// What the client calls itself.
    pub user_agent: Option<String>,
    /// Ties the line to the logs.
    pub request_id: Option<String>,
}

impl AuditEntry {
    /// An entry with nothing but what was done to what kind of thing.
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
