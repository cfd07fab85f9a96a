use serde_json::json;
use sovd_domain::{
    AgentAction, AgentActionId, AgentActionStatus, AuditEntry, Listing, Page, Permission,
};
use sovd_storage::{
    Transaction,
    agents::{activity, suspensions},
    audit,
};

use super::{AgentActionFilter, Agents};
use crate::{error::Result, identity::caller::Caller};

/// An action of an agent in an external system.
#[derive(Debug, Clone)]
pub struct NewAgentAction {
    /// The agent.
    pub agent_name: String,
    /// What the agent attempted.
    pub action_type: String,
    /// Where the action came from.
    pub source_node: Option<String>,
    /// The target of the action.
    pub target_node: Option<String>,
    /// Whether the action was allowed.
    pub status: AgentActionStatus,
}

impl Agents {
    /// Returns a page of the matching entries, newest first.
    pub async fn list(
        &self,
        caller: &Caller,
        filter: &AgentActionFilter,
        page: Page,
    ) -> Result<Listing<AgentAction>> {
        caller.require(Permission::ReadAgentLog)?;
        let mut connection = self.access.bulk_connection(caller).await?;
        Ok(activity::list(&mut connection, filter, page).await?)
    }

    /// Records an action of an agent in an external system. A blocked action counts towards a suspension.
    pub async fn record(&self, caller: &Caller, new: NewAgentAction) -> Result<AgentAction> {
        caller.require(Permission::RecordAgentLog)?;
        let action = AgentAction {
            id: AgentActionId(self.random.uuid()),
            agent_name: new.agent_name,
            action_type: new.action_type,
            source_node: new.source_node,
            target_node: new.target_node,
            status: new.status,
            timestamp: self.access.now(),
        };
        let guard = self.access.agents();
        let _lock = match action.status {
            AgentActionStatus::Blocked => Some(guard.lock(&action).await?),
            AgentActionStatus::Allowed => None,
        };
        let lock = async |transaction: &mut Transaction| {
            let subject = (action.agent_name.as_str(), action.action_type.as_str());
            let agent = caller.agent_name().zip(caller.endpoint_permission());
            // A fixed order prevents deadlocks between agents that record each other.
            let is_first =
                agent.is_some_and(|(name, permission)| subject <= (name, permission.as_str()));
            if is_first && action.status == AgentActionStatus::Blocked {
                suspensions::lock_attempts(transaction, subject.0, subject.1).await?;
                suspensions::lock_changes(transaction, subject.0, subject.1).await?;
            }
            Ok(())
        };
        let write = async |transaction: &mut Transaction, (), _| {
            guard.record(transaction, &action, caller).await?;
            let entry = AuditEntry {
                details: json!({
                    "agent": action.agent_name,
                    "action_type": action.action_type,
                    "status": action.status,
                }),
                ..caller.audit_of("agent.record", "agent", action.id.0)
            };
            Ok(audit::insert(transaction, &entry, action.timestamp).await?)
        };
        self.access.change_with_locks(caller, lock, write).await?;
        Ok(action)
    }
}
