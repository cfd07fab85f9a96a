use std::fmt;

use chrono::{DateTime, Utc};
use serde_json::json;
use sovd_domain::{AuditEntry, AuditRecord, Permission};
use sovd_storage::{
    Database,
    audit::{self, AuditFilter, Cursor},
};

use super::Audit;
use crate::{
    bulk_reads::ExportPermit,
    error::ServiceError,
    identity::{caller::Caller, credential_cache::CredentialWatch},
};

/// How many lines are read at a time.
const PAGE: i64 = 500;

/// What an export is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExportFormat {
    /// Comma-separated values (RFC 4180).
    Csv,
    /// One JSON object on each line.
    Ndjson,
}

impl fmt::Display for ExportFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Csv => "csv",
            Self::Ndjson => "ndjson",
        })
    }
}

/// The lines that match, newest first, a page at a time. No connection is held between two pages.
pub struct Export {
    database: Database,
    filter: AuditFilter,
    began_at: DateTime<Utc>,
    credential: CredentialWatch,
    last: Option<Cursor>,
    is_over: bool,
    _permit: ExportPermit,
}

impl Audit {
    /// Begins to export the lines that match, up to the present moment, and writes a line that says
    /// so. That one is part of the export if it matches.
    ///
    /// # Errors
    ///
    /// [`ServiceError::Forbidden`] when the caller may not see the trail;
    /// [`ServiceError::TooManyInFlight`] when the caller or all callers have too many exports.
    pub async fn export(
        &self,
        caller: &Caller,
        filter: AuditFilter,
        format: ExportFormat,
    ) -> Result<Export, ServiceError> {
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
                // Or it would go on for as long as lines are written faster than they are read.
                end: Some(filter.end.map_or(now, |end| end.min(now))),
                ..filter
            },
            began_at: now,
            credential,
            last: None,
            is_over: false,
            _permit: permit,
        })
    }
}

impl Export {
    /// The moment after which nothing is exported.
    pub fn began_at(&self) -> DateTime<Utc> {
        self.began_at
    }

    /// Tells when the caller's session or key has ended, which the export must not outlive.
    pub fn credential(&self) -> CredentialWatch {
        self.credential.clone()
    }

    /// The next lines; none when there are no more.
    ///
    /// # Errors
    ///
    /// When the database is away or a row is unreadable.
    pub async fn next_page(&mut self) -> Result<Vec<AuditRecord>, ServiceError> {
        if self.is_over {
            return Ok(Vec::new());
        }
        let mut connection = self.database.bulk_connection(()).await?;
        let lines = audit::page(&mut connection, &self.filter, self.last, PAGE).await?;
        self.last = lines.last().map(Cursor::from);
        self.is_over = self.last.is_none();
        Ok(lines)
    }
}
