use serde_json::json;
use sovd_domain::{AuditEntry, Listing, Page, Permission, Suspension, SuspensionId};
use sovd_storage::{Transaction, agents::suspensions, audit};

use super::{Agents, SuspensionFilter};
use crate::{
    error::{Result, ServiceError},
    identity::caller::Caller,
};

const UNKNOWN: ServiceError = ServiceError::not_found("suspension", None);
const LIFTED: ServiceError = ServiceError::conflict("the suspension has already been lifted", None);

impl Agents {
    /// Returns a page of the matching suspensions, newest first.
    pub async fn suspensions(
        &self,
        caller: &Caller,
        filter: &SuspensionFilter,
        page: Page,
    ) -> Result<Listing<Suspension>> {
        caller.require(Permission::ReadAgentLog)?;
        let mut connection = self.access.bulk_connection(caller).await?;
        Ok(suspensions::list(&mut connection, filter, page).await?)
    }

    /// Lifts a suspension. Earlier blocked attempts no longer count.
    pub async fn lift(&self, caller: &Caller, suspension_id: SuspensionId) -> Result<()> {
        caller.require(Permission::ManageAgents)?;
        let lift = async |transaction: &mut Transaction, _| {
            let found = suspensions::find(transaction, suspension_id).await?;
            let found = found.ok_or(UNKNOWN)?;
            let (agent_name, action_type) = (&found.agent_name, &found.action_type);
            // Serializes with an attempt that is being counted.
            suspensions::lock_attempts(transaction, agent_name, action_type).await?;
            let now = self.access.now();
            let lifted_by = caller.user.user_id;
            if !suspensions::lift(transaction, suspension_id, lifted_by, now).await? {
                return Err(LIFTED);
            }
            let entry = AuditEntry {
                details: json!({
                    "agent": agent_name,
                    "action_type": action_type,
                    "seconds": (now - found.suspended_at).num_seconds(),
                }),
                ..caller.audit_of("agent.lift", "agent", suspension_id.0)
            };
            Ok(audit::insert(transaction, &entry, now).await?)
        };
        self.access.change(caller, lift).await
    }
}
