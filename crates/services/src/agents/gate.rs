use sovd_domain::{AgentActionStatus, Permission};
use sovd_storage::agents::activity;
use thiserror::Error;

use super::Agents;
use crate::{environment::Environment, error::ServiceError, identity::caller::Caller};

/// As much of a path as is kept, in characters.
const PATH_LENGTH: usize = 512;

/// Why an agent may not do something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Block {
    /// Its role or its key does not have the permission.
    #[error("the key does not cover this")]
    NotCovered,
    /// It would change something, and nobody allows that to this agent.
    #[error("this is not among the actions that are allowed to this agent")]
    NotAllowed,
    /// It was blocked too often.
    #[error("this agent is suspended from this until an admin lifts it")]
    Suspended,
}

impl Agents {
    /// Lets a caller do what needs the permission. What an agent does or tries is safely written down
    /// before, with the method and the path of its request; of people nothing is.
    ///
    /// # Errors
    ///
    /// [`ServiceError::Forbidden`] to somebody without the permission; [`ServiceError::Blocked`] to an
    /// agent whom the key, the configuration or a suspension keeps from it;
    /// [`ServiceError::Unavailable`] when it cannot be written down.
    pub async fn admit(
        &self,
        caller: &mut Caller,
        permission: Permission,
        method: &str,
        path: &str,
    ) -> Result<(), ServiceError> {
        let path: String = path.chars().take(PATH_LENGTH).collect();
        let target = format!("{method} {path}");
        self.environment.admit(caller, permission, target).await?;
        caller.acting = caller.agent_name().map(|_| permission);
        Ok(())
    }
}

impl Environment {
    /// The same for what needs a further permission in the course of a request; `target` says what it is
    /// about.
    ///
    /// # Errors
    ///
    /// As [`Agents::admit`].
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
        } else if self.agents.allows(agent_name, permission) {
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
}
