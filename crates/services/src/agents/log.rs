use serde_json::json;
use sovd_domain::{AgentAction, AgentActionId, AgentActionStatus, AuditEntry, Page, Permission};
use sovd_storage::{
    Transaction,
    agents::{activity, suspensions},
    audit,
};

use super::{AgentActionFilter, Agents, blocking::suspending};
use crate::{error::ServiceError, identity::caller::Caller};

/// Something that an agent elsewhere did or tried.
#[derive(Debug, Clone)]
pub struct NewAgentAction {
    /// The agent.
    pub agent_name: String,
    /// The kind of action.
    pub action_type: String,
    /// Where the agent acted from.
    pub source_node: Option<String>,
    /// What it was about.
    pub target_node: Option<String>,
    /// Whether it was let through.
    pub status: AgentActionStatus,
}

impl Agents {
    /// One page of what agents did and tried, newest first, and how much of it matches in all.
    ///
    /// # Errors
    ///
    /// [`ServiceError::Forbidden`] to all but admins.
    pub async fn list(
        &self,
        caller: &Caller,
        filter: &AgentActionFilter,
        page: Page,
    ) -> Result<(Vec<AgentAction>, i64), ServiceError> {
        caller.require(Permission::ReadAgentLog)?;
        let mut connection = self.environment.bulk_connection(caller).await?;
        Ok(activity::list(&mut connection, filter, page).await?)
    }

    /// Writes down what an agent elsewhere did or tried. What was blocked there counts here too.
    ///
    /// # Errors
    ///
    /// [`ServiceError::Forbidden`] to all but admins.
    pub async fn record(
        &self,
        caller: &Caller,
        new: NewAgentAction,
    ) -> Result<AgentAction, ServiceError> {
        caller.require(Permission::RecordAgentLog)?;
        let action = AgentAction {
            id: AgentActionId(self.environment.random.uuid()),
            agent_name: new.agent_name,
            action_type: new.action_type,
            source_node: new.source_node,
            target_node: new.target_node,
            status: new.status,
            timestamp: self.environment.clock.now(),
        };
        let _turn = match action.status {
            AgentActionStatus::Blocked => {
                Some(self.environment.blocked_attempt_locks.lock(&action).await?)
            }
            AgentActionStatus::Allowed => None,
        };
        let mut transaction = self.environment.database.begin().await?;
        if let Err(refusal) = self.write(&mut transaction, caller, &action).await {
            transaction.rollback().await?;
            return Err(refusal);
        }
        transaction.commit().await?;
        Ok(action)
    }

    async fn write(
        &self,
        transaction: &mut Transaction,
        caller: &Caller,
        action: &AgentAction,
    ) -> Result<(), ServiceError> {
        let about = (action.agent_name.as_str(), action.action_type.as_str());
        let own = caller.agent_name().zip(caller.acting);
        // Or two agents that tell of each other at once would wait for each other for ever.
        let is_first = own.is_some_and(|(name, permission)| about <= (name, permission.as_str()));
        if is_first && action.status == AgentActionStatus::Blocked {
            suspensions::lock(transaction, about.0, about.1).await?;
            suspensions::await_changes(transaction, about.0, about.1).await?;
        }
        caller.hold(transaction, action.timestamp).await?;
        let recording = self
            .environment
            .record(transaction, action, suspending(caller));
        recording.await?;
        let entry = AuditEntry {
            entity_id: Some(action.id.0),
            details: json!({
                "agent": action.agent_name,
                "action_type": action.action_type,
                "status": action.status,
            }),
            ..caller.audit("agent.record", "agent")
        };
        audit::insert(transaction, &entry, action.timestamp).await?;
        Ok(())
    }
}
