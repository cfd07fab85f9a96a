//! Agents, which are the machines that call with a key: what they may do, what they did, and which of
//! them are suspended.

mod blocking;
mod gate;
mod lift;
mod log;
mod policy;

use sovd_domain::{Page, Permission, Suspension};
use sovd_storage::agents::suspensions;

use crate::{environment::Environment, error::ServiceError, identity::caller::Caller};

pub use blocking::BlockedAttemptLocks;
pub use gate::Block;
pub use log::NewAgentAction;
pub use policy::{AgentPolicy, InvalidAgentPolicy};
pub use sovd_storage::agents::{activity::AgentActionFilter, suspensions::SuspensionFilter};

/// Lets agents in, writes down what they do, and lets admins see it.
pub struct Agents {
    environment: Environment,
}

impl Agents {
    /// A service for agents.
    pub fn new(environment: Environment) -> Self {
        Self { environment }
    }

    /// One page of the suspensions that match, newest first, and how many match in all.
    ///
    /// # Errors
    ///
    /// [`ServiceError::Forbidden`] to all but admins.
    pub async fn suspensions(
        &self,
        caller: &Caller,
        filter: &SuspensionFilter,
        page: Page,
    ) -> Result<(Vec<Suspension>, i64), ServiceError> {
        caller.require(Permission::ReadAgentLog)?;
        let mut connection = self.environment.bulk_connection(caller).await?;
        Ok(suspensions::list(&mut connection, filter, page).await?)
    }
}
