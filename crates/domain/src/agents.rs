//! Agents: service accounts that act on their own, their logged actions and their suspensions.

use chrono::{DateTime, Utc};

use crate::{
    ids::{AgentActionId, SuspensionId, UserId},
    text_enum::text_enum,
};

/// An entry of the agent activity log: an action that an agent attempted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentAction {
    /// Identifies the entry.
    pub id: AgentActionId,
    /// The agent, by the name of its service account.
    pub agent_name: String,
    /// What the agent attempted: the permission that the call needs, or a term of an external system.
    pub action_type: String,
    /// Where the call came from.
    pub source_node: Option<String>,
    /// The target of the action.
    pub target_node: Option<String>,
    /// Whether the action was allowed.
    pub status: AgentActionStatus,
    /// When the action was attempted.
    pub timestamp: DateTime<Utc>,
}

/// The exclusion of an agent from one action type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suspension {
    /// Identifies the suspension.
    pub suspension_id: SuspensionId,
    /// The agent.
    pub agent_name: String,
    /// The action type.
    pub action_type: String,
    /// The number of blocked attempts that led to the suspension.
    pub blocked_attempts: i64,
    /// When it began.
    pub suspended_at: DateTime<Utc>,
    /// When an admin lifted it; `None` while it is active.
    pub lifted_at: Option<DateTime<Utc>>,
    /// The admin who lifted it; `None` while it is active or after that account was deleted.
    pub lifted_by: Option<UserId>,
}

text_enum! {
    /// Whether an agent's action was allowed.
    AgentActionStatus, "agent action status" {
        /// The action was allowed.
        Allowed = "ALLOWED",
        /// The action was refused.
        Blocked = "BLOCKED",
    }
}
