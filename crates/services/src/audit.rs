//! The audit trail: listing, export, sealing, verification and pruning.

pub mod checkpoint;
pub mod sealing;
pub mod verification;

pub(crate) mod pruning;

mod export;
mod link;
pub mod refusals;

use derive_more::Constructor;
use sovd_domain::{AuditRecord, Listing, Page, Permission, paging::AuditKey};
use sovd_storage::audit;

use crate::{
    error::Result,
    identity::{access::Access, caller::Caller, credential_cache::CredentialCache},
};

pub use export::{Export, ExportFormat};
pub use sovd_storage::audit::AuditFilter;

/// Lists and exports the audit trail.
#[derive(Constructor)]
pub struct Audit {
    access: Access,
    credentials: CredentialCache,
}

impl Audit {
    /// Returns a page of the matching entries, newest first.
    pub async fn list(
        &self,
        caller: &Caller,
        filter: &AuditFilter,
        page: Page<AuditKey>,
    ) -> Result<Listing<AuditRecord>> {
        caller.require(Permission::ReadAudit)?;
        let mut connection = self.access.bulk_connection(caller).await?;
        Ok(audit::list(&mut connection, filter, page).await?)
    }
}
