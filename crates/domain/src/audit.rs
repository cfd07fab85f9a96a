//! The audit trail.

use std::net::IpAddr;

use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    id::{CommandId, UserId, VehicleId},
    text_enum::text_enum,
};

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
