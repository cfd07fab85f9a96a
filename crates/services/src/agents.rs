//! Agents, which are the machines that call with a key: what they may do, what they did, and which of
//! them are suspended.

mod gate;
mod guard;
mod lift;
mod log;
mod policy;

use std::sync::Arc;

use sovd_domain::{Page, Permission, Random, Suspension};
use sovd_storage::agents::suspensions;

use crate::{
    error::ServiceError,
    identity::{access::Access, caller::Caller},
};

pub use gate::Block;
pub use guard::AgentGuard;
pub use log::NewAgentAction;
pub use policy::{AgentPolicy, InvalidAgentPolicy};
pub use sovd_storage::agents::{activity::AgentActionFilter, suspensions::SuspensionFilter};

/// Lets agents in, writes down what they do, and lets admins see it.
pub struct Agents {
    access: Access,
    random: Arc<dyn Random>,
}

impl Agents {
    /// A service for agents.
    pub fn new(access: Access, random: Arc<dyn Random>) -> Self {
        Self { access, random }
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
        let mut connection = self.access.bulk_connection(caller).await?;
        Ok(suspensions::list(&mut connection, filter, page).await?)
    }
}
