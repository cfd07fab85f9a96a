use chrono::{DateTime, Utc};
use serde_json::json;
use sovd_domain::{AuditEntry, Permission, Suspension, SuspensionId};
use sovd_storage::{Transaction, agents::suspensions, audit};

use super::Agents;
use crate::{error::ServiceError, identity::caller::Caller};

impl Agents {
    /// Lets an agent go on. What it was kept from until now does not count any more.
    ///
    /// # Errors
    ///
    /// [`ServiceError::Forbidden`] to all but admins; [`ServiceError::NotFound`] when there is no such
    /// suspension; [`ServiceError::Conflict`] when it is lifted already.
    pub async fn lift(
        &self,
        caller: &Caller,
        suspension_id: SuspensionId,
    ) -> Result<(), ServiceError> {
        caller.require(Permission::ManageAgents)?;
        let lift = async |transaction: &mut Transaction, _| {
            let suspension = suspensions::find(transaction, suspension_id)
                .await?
                .ok_or(UNKNOWN)?;
            // Serializes with an attempt that is being counted.
            suspensions::lock(transaction, &suspension.agent_name, &suspension.action_type).await?;
            let now = self.access.now();
            let lifted_by = caller.user.user_id;
            if !suspensions::lift(transaction, suspension_id, lifted_by, now).await? {
                return Err(LIFTED);
            }
            audit::insert(transaction, &entry(caller, &suspension, now), now).await?;
            Ok(())
        };
        self.access.change(caller, lift).await
    }
}

const UNKNOWN: ServiceError = ServiceError::NotFound {
    what: "suspension",
    pointer: None,
};

const LIFTED: ServiceError = ServiceError::Conflict {
    reason: "the suspension is lifted already",
    pointer: None,
};

fn entry(caller: &Caller, suspension: &Suspension, now: DateTime<Utc>) -> AuditEntry {
    let lasted = now - suspension.suspended_at;
    AuditEntry {
        entity_id: Some(suspension.suspension_id.0),
        details: json!({
            "agent": suspension.agent_name,
            "action_type": suspension.action_type,
            "seconds": lasted.num_seconds(),
        }),
        ..caller.audit("agent.lift", "agent")
    }
}
