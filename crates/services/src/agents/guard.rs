use std::{sync::Arc, time::Duration};

use serde_json::json;
use sovd_domain::{
    AgentAction, AgentActionId, AgentActionStatus, AuditEntry, Permission, Random, Suspension,
    SuspensionId, UserId,
};
use sovd_storage::{
    Database, StorageError, Transaction,
    agents::{activity, blocked_attempts, suspensions},
    audit,
};

use super::{AgentPolicy, Block};
use crate::{
    audit::refusals::RefusalCount,
    error::ServiceError,
    identity::caller::Caller,
    keyed_permits::{KeyedPermit, KeyedPermits},
    timer::Timer,
};

/// How many blocked attempts of one agent at one kind of action wait to be counted in this process.
/// Of more it cannot be said in time, so that they are refused as unavailable.
const WAITING: usize = 200;

/// Time that an attempt waits for those before it.
const LOCK_TIMEOUT: Duration = Duration::from_secs(10);

/// Decides what agents may do, logs it, and suspends those that are blocked too often. Clones share
/// their state.
#[derive(Clone)]
pub struct AgentGuard {
    database: Database,
    policy: Arc<AgentPolicy>,
    /// Serializes the counting of the blocked attempts of one agent at one kind of action.
    locks: Arc<KeyedPermits<(String, String)>>,
    refusals: RefusalCount,
    clock: Arc<dyn Timer>,
    random: Arc<dyn Random>,
}

impl AgentGuard {
    /// Creates the guard that follows `policy`.
    pub fn new(
        database: Database,
        policy: AgentPolicy,
        refusals: RefusalCount,
        clock: Arc<dyn Timer>,
        random: Arc<dyn Random>,
    ) -> Self {
        Self {
            database,
            policy: Arc::new(policy),
            locks: Arc::new(KeyedPermits::new(1, WAITING - 1, LOCK_TIMEOUT)),
            refusals,
            clock,
            random,
        }
    }

    /// Returns the policy.
    pub fn policy(&self) -> &AgentPolicy {
        &self.policy
    }

    /// Waits until the attempts before this one are counted. To be called before a connection is taken.
    pub(super) async fn lock(
        &self,
        action: &AgentAction,
    ) -> Result<KeyedPermit<(String, String)>, StorageError> {
        let key = (action.agent_name.clone(), action.action_type.clone());
        let too_many = "too many blocked attempts of one agent";
        let lock = self.locks.acquire(key).await;
        lock.ok_or_else(|| StorageError::Unavailable(too_many.to_owned()))
    }

    /// Admits the caller to what needs `permission`, and logs it for an agent. `target` describes the
    /// object.
    ///
    /// # Errors
    ///
    /// The same as [`Agents::admit`](super::Agents::admit).
    pub(crate) async fn admit(
        &self,
        caller: &Caller,
        permission: Permission,
        target: String,
    ) -> Result<(), ServiceError> {
        let Some(agent_name) = caller.agent_name() else {
            return caller.require(permission);
        };
        let block = if !caller.may(permission) {
            Some(Block::NotCovered)
        } else if self.policy.allows(agent_name, permission) {
            None
        } else {
            Some(Block::NotAllowed)
        };
        if let Some(block) = block {
            self.record_blocked_attempt(caller, permission, target)
                .await?;
            return Err(block.into());
        }
        let status = AgentActionStatus::Allowed;
        let action = self.agent_action(agent_name, caller, permission, target, status);
        let mut connection = self.database.connection().await?;
        if activity::log_unless_suspended(&mut connection, &action).await? {
            return Ok(());
        }
        drop(connection);
        self.log_suspended_attempt(caller.user.user_id, action)
            .await?;
        Err(Block::Suspended.into())
    }

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
        let (guard, entry) = (self.clone(), suspending(caller));
        let user_id = caller.user.user_id;
        let writing = tokio::spawn(async move {
            if guard.is_suspended(&action).await? {
                return guard.log_suspended_attempt(user_id, action).await;
            }
            let _lock = guard.lock(&action).await?;
            let record = async |transaction: &mut Transaction| {
                guard.record(transaction, &action, entry).await
            };
            guard.database.transaction(record).await
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
        let since = *now - self.policy.window();
        let attempts = blocked_attempts::count(transaction, agent_name, action_type, since).await?;
        if attempts <= self.policy.blocked_attempts {
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
                    "minutes": self.policy.window().num_minutes(),
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
