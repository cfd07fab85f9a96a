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
    audit::refusals::RefusalRateLimit,
    error::{Result, ServiceError},
    identity::caller::Caller,
    keyed_permits::{KeyedPermit, KeyedPermits},
    timer::Timer,
};

/// The maximum number of blocked attempts of one agent with one action type that wait to be counted in
/// this process. Further attempts fail as unavailable.
const MAX_WAITING: usize = 200;

/// Time that an attempt waits for those before it.
const LOCK_TIMEOUT: Duration = Duration::from_secs(10);

/// Checks and logs the actions of agents, and suspends an agent after too many blocked attempts. Clones
/// share their state.
///
/// The table of blocked attempts is the only count that leads to a suspension. [`RefusalRateLimit`] only
/// limits how many attempts of a suspended agent are logged.
#[derive(Clone)]
pub struct AgentGuard {
    database: Database,
    policy: Arc<AgentPolicy>,
    /// Serializes the counting of the blocked attempts of one agent with one action type.
    locks: Arc<KeyedPermits<(String, String)>>,
    refusals: RefusalRateLimit,
    clock: Arc<dyn Timer>,
    random: Arc<dyn Random>,
}

impl AgentGuard {
    /// Creates the guard that applies `policy`.
    pub fn new(
        database: Database,
        policy: AgentPolicy,
        refusals: RefusalRateLimit,
        clock: Arc<dyn Timer>,
        random: Arc<dyn Random>,
    ) -> Self {
        Self {
            database,
            policy: Arc::new(policy),
            locks: Arc::new(KeyedPermits::new(1, MAX_WAITING - 1, LOCK_TIMEOUT)),
            refusals,
            clock,
            random,
        }
    }

    /// Returns the policy.
    pub fn policy(&self) -> &AgentPolicy {
        &self.policy
    }

    /// Waits until earlier attempts are counted. Call it before checking out a connection.
    pub(super) async fn lock(
        &self,
        action: &AgentAction,
    ) -> Result<KeyedPermit<(String, String)>, StorageError> {
        let key = (action.agent_name.clone(), action.action_type.clone());
        let too_many = "too many blocked attempts of one agent";
        let lock = self.locks.acquire(key).await;
        lock.ok_or_else(|| StorageError::Unavailable(too_many.to_owned()))
    }

    /// Admits the caller to an action that requires `permission`, and logs it for an agent. `target`
    /// describes the object.
    pub(crate) async fn admit(
        &self,
        caller: &Caller,
        permission: Permission,
        target: String,
    ) -> Result<()> {
        let Some(agent_name) = caller.agent_name() else {
            return caller.require(permission);
        };
        if let Err(block) = self.policy.check(caller, agent_name, permission) {
            self.record_blocked_attempt(caller, permission, target)
                .await?;
            return Err(block.into());
        }
        let status = AgentActionStatus::Allowed;
        let action = self.action(agent_name, caller, permission, target, status);
        let mut connection = self.database.connection().await?;
        if activity::log_unless_suspended(&mut connection, &action).await? {
            return Ok(());
        }
        drop(connection);
        self.log_suspended_attempt(caller.user.user_id, action)
            .await?;
        Err(Block::Suspended.into())
    }

    /// Records a blocked attempt of an agent, and suspends the agent after too many. Ignores users.
    ///
    /// Completes even if the agent disconnects; otherwise disconnecting early would evade suspension.
    pub(crate) async fn record_blocked_attempt(
        &self,
        caller: &Caller,
        permission: Permission,
        target: String,
    ) -> Result<()> {
        let Some(agent_name) = caller.agent_name() else {
            return Ok(());
        };
        let status = AgentActionStatus::Blocked;
        let action = self.action(agent_name, caller, permission, target, status);
        let (guard, caller) = (self.clone(), caller.clone());
        let recording = tokio::spawn(async move {
            if guard.is_suspended(&action).await? {
                let user_id = caller.user.user_id;
                return guard.log_suspended_attempt(user_id, action).await;
            }
            let _lock = guard.lock(&action).await?;
            let record = async |transaction: &mut Transaction| {
                guard.record(transaction, &action, &caller).await
            };
            guard.database.transaction(record).await
        });
        Ok(recording.await.map_err(ServiceError::internal)??)
    }

    fn action(
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

    async fn is_suspended(&self, action: &AgentAction) -> Result<bool, StorageError> {
        let mut connection = self.database.connection().await?;
        suspensions::is_active(&mut connection, &action.agent_name, &action.action_type).await
    }

    /// Logs an attempt of a suspended agent, which does not count. The rate is limited per agent, so that
    /// an agent cannot fill the log.
    async fn log_suspended_attempt(
        &self,
        user_id: UserId,
        action: AgentAction,
    ) -> Result<(), StorageError> {
        if !self.refusals.admits_suspended_agent(user_id) {
            tracing::warn!(
                agent = action.agent_name,
                action_type = action.action_type,
                "attempt of suspended agent not logged: rate limit reached"
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

    /// Logs an action, and counts it if it was blocked. Suspends the agent if it then exceeds the limit; the
    /// audit entry names `caller` as the user.
    pub(super) async fn record(
        &self,
        transaction: &mut Transaction,
        action: &AgentAction,
        caller: &Caller,
    ) -> Result<(), StorageError> {
        let (agent_name, action_type) = (&action.agent_name, &action.action_type);
        if action.status == AgentActionStatus::Allowed {
            return activity::log(transaction, action).await;
        }
        // Without the lock, concurrent transactions would not count each other's attempts.
        suspensions::lock_attempts(transaction, agent_name, action_type).await?;
        activity::log(transaction, action).await?;
        if suspensions::is_active(transaction, agent_name, action_type).await? {
            return Ok(());
        }
        blocked_attempts::add(transaction, action).await?;
        let since = action.timestamp - self.policy.window();
        let attempts = blocked_attempts::count(transaction, agent_name, action_type, since).await?;
        if attempts > self.policy.blocked_attempts {
            self.suspend(transaction, action, attempts, caller).await?;
        }
        Ok(())
    }

    async fn suspend(
        &self,
        transaction: &mut Transaction,
        action: &AgentAction,
        attempts: i64,
        caller: &Caller,
    ) -> Result<(), StorageError> {
        let (agent_name, action_type) = (&action.agent_name, &action.action_type);
        suspensions::lock_changes(transaction, agent_name, action_type).await?;
        // Read under the lock, after the last change of the agent has committed, so that no change has a
        // later time.
        let suspended_at = self.clock.now();
        // After the suspension is lifted, counting starts from zero.
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
                details: json!({
                    "agent": agent_name,
                    "action_type": action_type,
                    "attempts": attempts,
                    "minutes": self.policy.window().num_minutes(),
                }),
                ..caller.audit_of("agent.suspend", "agent", suspension.suspension_id.0)
            };
            audit::insert(transaction, &entry, suspended_at).await?;
            tracing::warn!(agent = agent_name, action_type, "agent suspended");
        }
        Ok(())
    }
}
