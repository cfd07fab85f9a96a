//! `/api/v1/agent-suspensions`

pub(crate) mod lift;
pub(crate) mod list;

use chrono::{DateTime, Utc};
use serde::Serialize;
use sovd_domain::Suspension;
use utoipa::ToSchema;
use uuid::Uuid;

/// An agent's ban from a kind of action.
#[derive(Serialize, ToSchema)]
#[schema(as = AgentSuspension)]
pub(crate) struct SuspensionBody {
    /// Identifies the suspension.
    suspension_id: Uuid,
    /// The agent.
    #[schema(example = "fleet-monitor")]
    agent_name: String,
    /// The kind of action.
    #[schema(example = "commands.submit")]
    action_type: String,
    /// How many blocked attempts were too many.
    #[schema(example = 6)]
    blocked_attempts: i64,
    /// When it began.
    suspended_at: DateTime<Utc>,
    /// When an admin lifted it; null while it lasts.
    lifted_at: Option<DateTime<Utc>>,
    /// The admin; null while it lasts and when that account is deleted.
    lifted_by: Option<Uuid>,
}

impl From<Suspension> for SuspensionBody {
    fn from(suspension: Suspension) -> Self {
        Self {
            suspension_id: suspension.suspension_id.0,
            agent_name: suspension.agent_name,
            action_type: suspension.action_type,
            blocked_attempts: suspension.blocked_attempts,
            suspended_at: suspension.suspended_at,
            lifted_at: suspension.lifted_at,
            lifted_by: suspension.lifted_by.map(|id| id.0),
        }
    }
}
