use std::sync::Arc;

use serde_json::json;
use sovd_domain::{
    AgentAction, AgentActionId, AgentActionStatus, AuditEntry, Permission, Suspension,
    SuspensionId, UserId,
};
use sovd_storage::{
    StorageError, Transaction,
    agents::{activity, blocked_attempts, suspensions},
    audit,
};

use crate::{
    environment::Environment,
    error::ServiceError,
    identity::caller::Caller,
    keyed_locks::{KeyedLockGuard, KeyedLocks},
};

/// How many blocked attempts of one agent at one kind of action wait to be counted in this process.
/// Of more it cannot be said in time, so that they are refused as unavailable.
const WAITING: usize = 200;

/// Lets the blocked attempts of one agent at one kind of action be counted one after the other. Clones
/// share it.
#[derive(Clone)]
pub struct BlockedAttemptLocks(Arc<KeyedLocks<(String, String)>>);

impl Default for BlockedAttemptLocks {
    fn default() -> Self {
        Self(Arc::new(KeyedLocks::new(
            "blocked attempts of one agent",
            WAITING,
        )))
    }
}

impl BlockedAttemptLocks {
    /// Waits for the turn of the attempt, which is to come before the connection to the database.
    pub(super) async fn lock(
        &self,
        action: &AgentAction,
    ) -> Result<KeyedLockGuard<'_, (String, String)>, StorageError> {
        let key = (action.agent_name.clone(), action.action_type.clone());
        self.0.lock(key).await
    }
}

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
    /// When the database is away, or too many attempts of the agent wait already.
    pub(crate) async fn record_blocked_attempt(
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
        let user_id = caller.user.user_id;
        let writing = tokio::spawn(async move {
            if environment.is_suspended(&action).await? {
                return environment.log_suspended_attempt(user_id, action).await;
            }
            let _turn = environment.blocked_attempt_locks.lock(&action).await?;
            let mut transaction = environment.database.begin().await?;
            let written = environment.record(&mut transaction, &action, entry);
            written.await?;
            transaction.commit().await
        });
        Ok(writing.await.map_err(ServiceError::internal)??)
    }

    async fn is_suspended(&self, action: &AgentAction) -> Result<bool, StorageError> {
        let mut connection = self.database.connection().await?;
        suspensions::is_active(&mut connection, &action.agent_name, &action.action_type).await
    }

    /// Writes down what a suspended agent tries, which counts for nothing: of one agent no more than so
    /// much in a minute, or it could fill the log.
    ///
    /// # Errors
    ///
    /// When the database is away.
    pub(super) async fn log_suspended_attempt(
        &self,
        user_id: UserId,
        action: AgentAction,
    ) -> Result<(), StorageError> {
        if !self.refusals.admits_suspended(user_id) {
            tracing::warn!(
                agent = action.agent_name,
                action = action.action_type,
                "a suspended agent tries, as many times before"
            );
            return Ok(());
        }
        let blocked = AgentAction {
            status: AgentActionStatus::Blocked,
            ..action
        };
        let mut connection = self.database.connection().await?;
        activity::log(&mut connection, &blocked).await
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
            return activity::log(transaction, action).await;
        }
        // Or two at once would each count without the other.
        suspensions::lock(transaction, agent_name, action_type).await?;
        activity::log(transaction, action).await?;
        if suspensions::is_active(transaction, agent_name, action_type).await? {
            return Ok(());
        }
        blocked_attempts::add(transaction, action).await?;
        let since = *now - self.agents.window();
        let attempts = blocked_attempts::count(transaction, agent_name, action_type, since).await?;
        if attempts <= self.agents.blocked_attempts {
            return Ok(());
        }
        suspensions::await_changes(transaction, agent_name, action_type).await?;
        // Taken under the lock, after the agent's last change was committed: no change has a later time.
        let suspended_at = self.clock.now();
        // They are paid for: whoever lifts the suspension lets the agent start anew.
        blocked_attempts::clear(transaction, agent_name, action_type).await?;
        let suspension = Suspension {
            suspension_id: SuspensionId(self.random.uuid()),
            agent_name: agent_name.clone(),
            action_type: action_type.clone(),
            blocked_attempts: attempts,
            suspended_at,
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
                    "minutes": self.agents.window().num_minutes(),
                }),
                ..entry
            };
            audit::insert(transaction, &entry, suspended_at).await?;
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
