//! Agents, the service accounts that act on their own: what they may do, their activity log and their
//! suspensions.

mod activity;
mod guard;
mod policy;
mod suspensions;

use std::sync::Arc;

use derive_more::Constructor;
use sovd_domain::{Permission, Random};

use crate::{
    error::Result,
    identity::{access::Access, caller::Caller},
};

pub use activity::NewAgentAction;
pub use guard::AgentGuard;
pub use policy::{AgentPolicy, Block, InvalidAgentPolicy};
pub use sovd_storage::agents::{activity::AgentActionFilter, suspensions::SuspensionFilter};

/// The maximum length of a logged path, in characters.
const MAX_PATH: usize = 512;

/// Admits agents, and manages their log and their suspensions.
#[derive(Constructor)]
pub struct Agents {
    access: Access,
    random: Arc<dyn Random>,
}

impl Agents {
    /// Admits the caller to a request that requires `permission`. Logs the method and the path first if
    /// the caller is an agent.
    pub async fn admit(
        &self,
        caller: &mut Caller,
        permission: Permission,
        method: &str,
        path: &str,
    ) -> Result<()> {
        let path: String = path.chars().take(MAX_PATH).collect();
        let target = format!("{method} {path}");
        *caller = self.access.admit(caller, permission, target).await?;
        Ok(())
    }
}
