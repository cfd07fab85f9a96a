use sovd_domain::Permission;
use thiserror::Error;

use super::Agents;
use crate::{error::ServiceError, identity::caller::Caller};

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
        *caller = self.access.admit(caller, permission, target).await?;
        Ok(())
    }
}
