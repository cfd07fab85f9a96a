use chrono::{DateTime, Utc};
use serde_json::json;
use sovd_domain::{
    AuditEntry, AuditRecord, Permission,
    paging::{AuditKey, KeyOf},
};
use sovd_storage::{
    Database,
    audit::{self, AuditFilter},
};
use strum::Display;

use super::Audit;
use crate::{
    bulk_reads::ExportPermit,
    error::Result,
    identity::{caller::Caller, credential_cache::CredentialWatch},
};

/// The number of entries read at a time.
const PAGE: i64 = 500;

/// The format of an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Display)]
#[strum(serialize_all = "lowercase")]
pub enum ExportFormat {
    /// Comma-separated values (RFC 4180).
    Csv,
    /// One JSON object on each line.
    Ndjson,
}

/// The matching entries, newest first, read page by page without holding a connection in between.
pub struct Export {
    database: Database,
    filter: AuditFilter,
    began_at: DateTime<Utc>,
    credential: CredentialWatch,
    last: Option<AuditKey>,
    is_complete: bool,
    _permit: ExportPermit,
}

impl Audit {
    /// Starts an export of the matching entries up to the current time, and audits it. The entry about the
    /// export is included if it matches.
    pub async fn export(
        &self,
        caller: &Caller,
        filter: AuditFilter,
        format: ExportFormat,
    ) -> Result<Export> {
        caller.require(Permission::ReadAudit)?;
        let permit = self.access.admit_export(caller)?;
        let credential = caller.watch(&self.credentials);
        let now = self.access.now();
        let entry = AuditEntry {
            details: json!({
                "format": format.to_string(),
                "user_id": filter.user_id,
                "vehicle_id": filter.vehicle_id,
                "command_id": filter.command_id,
                "action": filter.action,
                "entity_type": filter.entity_type,
                "start_date": filter.start,
                "end_date": filter.end,
            }),
            ..caller.audit("audit.export", "audit")
        };
        let mut connection = self.access.connection().await?;
        audit::insert(&mut connection, &entry, now).await?;
        Ok(Export {
            database: self.access.database().clone(),
            filter: AuditFilter {
                // Without it, the export would not end while entries are added faster than read.
                end: Some(filter.end.map_or(now, |end| end.min(now))),
                ..filter
            },
            began_at: now,
            credential,
            last: None,
            is_complete: false,
            _permit: permit,
        })
    }
}

impl Export {
    /// Returns the time up to which entries are exported.
    pub fn began_at(&self) -> DateTime<Utc> {
        self.began_at
    }

    /// Returns the watch of the caller's credential, which the export must not outlive.
    pub fn credential(&self) -> CredentialWatch {
        self.credential.clone()
    }

    /// Returns the next entries, or none if the export is complete.
    pub async fn next_page(&mut self) -> Result<Vec<AuditRecord>> {
        if self.is_complete {
            return Ok(Vec::new());
        }
        let mut connection = self.database.bulk_connection(()).await?;
        let records = audit::page(&mut connection, &self.filter, self.last, PAGE).await?;
        self.last = records.last().and_then(AuditKey::of);
        self.is_complete = self.last.is_none();
        Ok(records)
    }
}
