//! The audit trail: looking at it, sealing it, checking it, cutting off what is old.

pub mod checkpoint;
pub mod sealing;
pub mod verification;

pub(crate) mod pruning;

mod export;
mod link;
pub mod refusals;

use sovd_domain::{AuditRecord, Page, Permission};
use sovd_storage::audit;

use crate::{
    error::ServiceError,
    identity::{access::Access, caller::Caller, credential_cache::CredentialCache},
};

pub use export::{Export, ExportFormat};
pub use sovd_storage::audit::AuditFilter;

/// Shows the audit trail.
pub struct Audit {
    access: Access,
    credentials: CredentialCache,
}

impl Audit {
    /// An audit service.
    pub fn new(access: Access, credentials: CredentialCache) -> Self {
        Self {
            access,
            credentials,
        }
    }

    /// One page of the lines that match, newest first, and how many match in all.
    ///
    /// # Errors
    ///
    /// [`ServiceError::Forbidden`] when the caller may not see the trail.
    pub async fn list(
        &self,
        caller: &Caller,
        filter: &AuditFilter,
        page: Page,
    ) -> Result<(Vec<AuditRecord>, i64), ServiceError> {
        caller.require(Permission::ReadAudit)?;
        let mut connection = self.access.bulk_connection(caller).await?;
        Ok(audit::list(&mut connection, filter, page).await?)
    }
}
