//! Bounds on the expensive reads of one caller.
//! [`Database::bulk_connection`](sovd_storage::Database::bulk_connection) bounds those of all callers.

use std::sync::Arc;

use sovd_domain::UserId;

use crate::{
    error::Result,
    identity::caller::Caller,
    in_flight::{InFlight, Permit},
};

/// Bounds the lists, summaries and exports of each caller, and the exports of all. Clones share it.
#[derive(Debug, Clone)]
pub struct BulkReads {
    lists: Arc<InFlight<UserId>>,
    exports: Arc<InFlight<UserId>>,
    all_exports: Arc<InFlight<()>>,
}

/// Maximum number of expensive reads that this process serves at the same time.
#[derive(Debug, Clone, Copy)]
pub struct BulkReadSettings {
    /// Lists and summaries of one caller.
    pub lists_per_caller: usize,
    /// Exports of one caller.
    pub exports_per_caller: usize,
    /// Exports of all callers.
    pub exports: usize,
}

/// The permit of one export, released when it is dropped.
#[derive(Debug)]
pub(crate) struct ExportPermit {
    _of_caller: Permit<UserId>,
    _of_all: Permit<()>,
}

impl BulkReads {
    /// Creates the bounds.
    pub fn new(settings: BulkReadSettings) -> Self {
        Self {
            lists: Arc::new(InFlight::new(
                "lists of one user",
                settings.lists_per_caller,
            )),
            exports: Arc::new(InFlight::new(
                "exports of one user",
                settings.exports_per_caller,
            )),
            all_exports: Arc::new(InFlight::new("exports of all users", settings.exports)),
        }
    }

    /// Waits for the permit for a list.
    pub(crate) async fn admit_list(&self, caller: &Caller) -> Result<Permit<UserId>> {
        self.lists.admit(caller.user.user_id).await
    }

    /// Returns the permit for an export if one is free. Exports take too long to wait for.
    pub(crate) fn admit_export(&self, caller: &Caller) -> Result<ExportPermit> {
        Ok(ExportPermit {
            _of_caller: self.exports.try_admit(caller.user.user_id)?,
            _of_all: self.all_exports.try_admit(())?,
        })
    }
}
