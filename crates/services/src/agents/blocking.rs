use serde_json::json;
use sovd_domain::{
    AgentAction, AgentActionId, AgentActionStatus, AuditEntry, Permission, Suspension, SuspensionId,
};
use sovd_storage::{StorageError, Transaction, agents, audit, suspensions};

use crate::{caller::Caller, environment::Environment, error::ServiceError};

impl Environment {
    /// What an agent does or tries now.
    pub(super) fn agent_action(
        &self,
        agent_name: &str,
        caller: &Caller,
        permission: Permission,
        target: String,
        status: AgentActionStatus,
    ) -> AgentAction {
        AgentAction {
            id: AgentActionId(self.random.uuid()),
            agent_name: agent_name.to_owned(),
            action_type: permission.as_str().to_owned(),
            source_node: caller.origin.ip_address.map(|address| address.to_string()),
            target_node: Some(target),
            status,
            timestamp: self.clock.now(),
        }
    }

    /// Writes down that an agent was kept from something, and suspends it when that was once too often.
    /// It is done even if the agent goes away meanwhile, or it could try for ever. Of people nothing is
    /// written.
    ///
    /// # Errors
    ///
    /// When the database is away.
    pub(crate) async fn note_block(
        &self,
        caller: &Caller,
        permission: Permission,
        target: String,
    ) -> Result<(), ServiceError> {
        let Some(agent_name) = caller.agent_name() else {
            return Ok(());
        };
        let status = AgentActionStatus::Blocked;
        let action = self.agent_action(agent_name, caller, permission, target, status);
        let (environment, entry) = (self.clone(), suspending(caller));
        let writing = tokio::spawn(async move {
            let mut transaction = environment.database.begin().await?;
            let written = environment.record(&mut transaction, &action, entry);
            written.await?;
            transaction.commit().await
        });
        Ok(writing.await.map_err(ServiceError::internal)??)
    }

    /// Writes a line of the agents' log. One that says blocked suspends the agent, and `entry` tells of
    /// it in the audit trail, when that was once too often.
    ///
    /// # Errors
    ///
    /// When the database is away.
    pub(super) async fn record(
        &self,
        transaction: &mut Transaction,
        action: &AgentAction,
        entry: AuditEntry,
    ) -> Result<(), StorageError> {
        let AgentAction {
            agent_name,
            action_type,
            timestamp: now,
            ..
        } = action;
        if action.status == AgentActionStatus::Allowed {
            return agents::log(transaction, action).await;
        }
        // Or two at once would each count without the other.
        suspensions::lock(transaction, agent_name, action_type).await?;
        agents::log(transaction, action).await?;
        if suspensions::is_active(transaction, agent_name, action_type).await? {
            return Ok(());
        }
        let window = *now - self.agents.window;
        let lifted = suspensions::last_lifted(transaction, agent_name, action_type).await?;
        let since = lifted.map_or(window, |lifted| lifted.max(window));
        let attempts = agents::count_blocked(transaction, agent_name, action_type, since).await?;
        if attempts <= self.agents.blocked_attempts {
            return Ok(());
        }
        let suspension = Suspension {
            suspension_id: SuspensionId(self.random.uuid()),
            agent_name: agent_name.clone(),
            action_type: action_type.clone(),
            blocked_attempts: attempts,
            suspended_at: *now,
            lifted_at: None,
            lifted_by: None,
        };
        if suspensions::insert(transaction, &suspension).await? {
            let entry = AuditEntry {
                entity_id: Some(suspension.suspension_id.0),
                details: json!({
                    "agent": agent_name,
                    "action_type": action_type,
                    "attempts": attempts,
                    "minutes": self.agents.window.num_minutes(),
                }),
                ..entry
            };
            audit::insert(transaction, &entry, *now).await?;
            tracing::warn!(
                agent = agent_name,
                action = action_type,
                "suspended an agent"
            );
        }
        Ok(())
    }
}

/// The beginning of the audit line of a suspension that the caller's attempt brings about.
pub(super) fn suspending(caller: &Caller) -> AuditEntry {
    caller.audit("agent.suspend", "agent")
}
