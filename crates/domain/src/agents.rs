//! Agents, which are service accounts that act by themselves, and what they are seen doing.

use chrono::{DateTime, Utc};

use crate::{
    ids::{AgentActionId, SuspensionId, UserId},
    text_enum::text_enum,
};

/// Something that an agent did or tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentAction {
    /// Identifies the line.
    pub id: AgentActionId,
    /// The agent, by the name of its service account.
    pub agent_name: String,
    /// The kind of action, in the words for permissions, or in others for agents elsewhere.
    pub action_type: String,
    /// Where the call came from.
    pub source_node: Option<String>,
    /// What it was about.
    pub target_node: Option<String>,
    /// Whether it was let through.
    pub status: AgentActionStatus,
    /// When it was.
    pub timestamp: DateTime<Utc>,
}

/// An agent's ban from a kind of action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suspension {
    /// Identifies the suspension.
    pub suspension_id: SuspensionId,
    /// The agent.
    pub agent_name: String,
    /// The kind of action.
    pub action_type: String,
    /// How many blocked attempts were too many.
    pub blocked_attempts: i64,
    /// When it began.
    pub suspended_at: DateTime<Utc>,
    /// When an admin ended it; nothing while it lasts.
    pub lifted_at: Option<DateTime<Utc>>,
    /// The admin; nobody when that account is deleted.
    pub lifted_by: Option<UserId>,
}

text_enum! {
    /// Whether an agent's action was let through.
    AgentActionStatus, "agent action status" {
        /// It was.
        Allowed = "ALLOWED",
        /// It was not.
        Blocked = "BLOCKED",
    }
}
