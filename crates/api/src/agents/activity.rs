//! `/api/v1/ueba-logs`

pub(crate) mod list;
pub(crate) mod record;

use chrono::{DateTime, Utc};
use serde::Serialize;
use sovd_domain::AgentAction;
use utoipa::ToSchema;
use uuid::Uuid;

/// Something that an agent did or tried.
#[derive(Serialize, ToSchema)]
#[schema(as = UebaLog)]
pub(crate) struct UebaLogBody {
    /// Identifies the line.
    id: Uuid,
    /// The agent, by the name of its service account.
    #[schema(example = "fleet-monitor")]
    agent_name: String,
    /// The kind of action: the permission that the call needs, or another word for agents elsewhere.
    #[schema(example = "commands.submit")]
    action_type: String,
    /// Where the call came from.
    #[schema(example = "192.0.2.7")]
    source_node: Option<String>,
    /// What it was about: the method and the path, or the thing that the agent may not know of.
    #[schema(example = "POST /api/v1/commands")]
    target_node: Option<String>,
    /// Whether it was let through: `ALLOWED` or `BLOCKED`.
    #[schema(example = "BLOCKED")]
    status: &'static str,
    /// When it was.
    timestamp: DateTime<Utc>,
}

impl From<AgentAction> for UebaLogBody {
    fn from(action: AgentAction) -> Self {
        Self {
            id: action.id.0,
            agent_name: action.agent_name,
            action_type: action.action_type,
            source_node: action.source_node,
            target_node: action.target_node,
            status: action.status.as_str(),
            timestamp: action.timestamp,
        }
    }
}
