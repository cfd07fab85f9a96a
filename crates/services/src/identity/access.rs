//! Database access on behalf of a caller.

use std::{ops::DerefMut, sync::Arc};

use chrono::{DateTime, Utc};
use derive_more::Constructor;
use sovd_domain::{AuditEntry, Permission, VehicleId};
use sovd_storage::{Connection, Database, StorageError, Transaction};

use crate::{
    agents::AgentGuard,
    audit::refusals::{Concealed, Refusals},
    bulk_reads::{BulkReads, ExportPermit},
    error::{Result, ServiceError},
    identity::caller::Caller,
    timer::Timer,
};

/// Opens connections and transactions on behalf of callers, and records what they are refused.
///
/// Every service that acts for a caller holds one. Clones share their state.
#[derive(Clone, Constructor)]
pub struct Access {
    database: Database,
    bulk_reads: BulkReads,
    agents: AgentGuard,
    refusals: Refusals,
    clock: Arc<dyn Timer>,
}

impl Access {
    pub(crate) fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    pub(crate) fn clock(&self) -> &Arc<dyn Timer> {
        &self.clock
    }

    /// Returns the pool, for work that is not done for a known caller, such as a login.
    pub(crate) fn database(&self) -> &Database {
        &self.database
    }

    pub(crate) fn agents(&self) -> &AgentGuard {
        &self.agents
    }

    /// Checks out a connection for a read of a few rows.
    pub(crate) async fn connection(
        &self,
    ) -> Result<impl DerefMut<Target = Connection> + Send + use<>, StorageError> {
        self.database.connection().await
    }

    /// Checks out a connection for a list or a summary. Waits while the caller has too many of them in
    /// flight.
    pub(crate) async fn bulk_connection(
        &self,
        caller: &Caller,
    ) -> Result<impl DerefMut<Target = Connection> + Send + use<>> {
        let permit = self.bulk_reads.admit_list(caller).await?;
        Ok(self.database.bulk_connection(permit).await?)
    }

    pub(crate) fn admit_export(&self, caller: &Caller) -> Result<ExportPermit> {
        self.bulk_reads.admit_export(caller)
    }

    /// Runs `change` in a transaction that holds the caller's credential, and of an agent the permissions
    /// that it was admitted for. This is the only way in which a service changes something for a caller.
    ///
    /// A concurrent revocation or suspension waits for the transaction, so that no change commits after
    /// it. The transaction is committed if `change` succeeds and rolled back if it fails.
    ///
    /// # Errors
    ///
    /// Returns the error of `change`;
    /// [`AuthFailure::SessionRevoked`](crate::AuthFailure::SessionRevoked) if the credential has ended;
    /// [`Block::Suspended`](crate::agents::Block::Suspended) if the agent is suspended.
    pub(crate) async fn change<T>(
        &self,
        caller: &Caller,
        change: impl AsyncFnOnce(&mut Transaction, DateTime<Utc>) -> Result<T>,
    ) -> Result<T> {
        let no_locks = async |_: &mut Transaction| Ok(());
        let change = async |transaction: &mut Transaction, (), now| change(transaction, now).await;
        self.change_with_locks(caller, no_locks, change).await
    }

    /// Does the same as [`Self::change`] where the order of locks demands that `lock` runs before the
    /// credential is locked.
    pub(crate) async fn change_with_locks<L, T>(
        &self,
        caller: &Caller,
        lock: impl AsyncFnOnce(&mut Transaction) -> Result<L>,
        change: impl AsyncFnOnce(&mut Transaction, L, DateTime<Utc>) -> Result<T>,
    ) -> Result<T> {
        let work = async |transaction: &mut Transaction| {
            let locked = lock(transaction).await?;
            let now = self.clock.now();
            caller.lock_credential(transaction, now).await?;
            change(transaction, locked, now).await
        };
        self.database.transaction(work).await
    }

    /// Returns whether the caller can access the vehicle, and records the attempt if not.
    pub(crate) async fn can_access_vehicle(
        &self,
        caller: &Caller,
        vehicle_id: VehicleId,
        action: &'static str,
    ) -> Result<bool> {
        let can_access = if let Some(can_access) = caller.vehicle_access_in_scope(vehicle_id) {
            can_access
        } else {
            let mut connection = self.database.connection().await?;
            caller
                .can_access_vehicle(&mut connection, vehicle_id)
                .await?
        };
        if !can_access {
            let entry = caller.audit_of(action, "vehicle", vehicle_id.0);
            self.record_refusal(caller, entry).await?;
        }
        Ok(can_access)
    }

    /// Requires a further permission in the course of a request; `target` describes the object.
    ///
    /// Returns the caller with the permission, which [`Self::change`] then locks as well.
    pub(crate) async fn admit(
        &self,
        caller: &Caller,
        permission: Permission,
        target: String,
    ) -> Result<Caller> {
        self.agents.admit(caller, permission, target).await?;
        Ok(caller.clone().admitted_for(permission))
    }

    /// Audits the refusal of what `entry` describes. For an agent it also counts as a blocked attempt.
    async fn record_refusal(&self, caller: &Caller, entry: AuditEntry) -> Result<()> {
        let target = match entry.entity_id {
            Some(id) => format!("{} {id}", entry.entity_type),
            None => entry.entity_type.to_owned(),
        };
        // First, because an agent may disconnect while its attempt is recorded.
        self.refusals.record(entry);
        match caller.endpoint_permission() {
            Some(permission) => {
                self.agents
                    .record_blocked_attempt(caller, permission, target)
                    .await
            }
            None => Ok(()),
        }
    }

    /// Records that the caller asked for an object that they may not see, if it exists. Returns
    /// [`ServiceError::NotFound`], or the error of the record.
    pub(crate) async fn missing(
        &self,
        caller: &Caller,
        object: Concealed,
        action: &'static str,
    ) -> ServiceError {
        match self.record_missing(caller, object, action).await {
            Ok(()) => ServiceError::not_found(object.entity().0, None),
            Err(error) => error,
        }
    }

    /// Records that the caller asked for an object that they may not see, if it exists.
    ///
    /// Returns to a user at once and without looking the object up, so that the request takes the same
    /// time in both cases. For an agent the lookup and the count of blocked attempts come first, because a
    /// suspension must not lag behind.
    pub(crate) async fn record_missing(
        &self,
        caller: &Caller,
        object: Concealed,
        action: &'static str,
    ) -> Result<()> {
        if caller.endpoint_permission().is_none() {
            self.refusals.look_up(caller, object, action);
            return Ok(());
        }
        let (entry, can_access) = {
            let mut connection = self.database.connection().await?;
            let Some(entry) = object.entry(&mut connection, caller, action).await? else {
                return Ok(());
            };
            let can_access = match (object, entry.vehicle_id) {
                // Anomalies of the vehicle name commands of other users. Following such a name is not
                // an attempt at anything.
                (Concealed::Command(_), Some(vehicle_id)) => {
                    caller
                        .can_access_vehicle(&mut connection, vehicle_id)
                        .await?
                }
                _ => false,
            };
            (entry, can_access)
        };
        if can_access {
            self.refusals.record(entry);
            return Ok(());
        }
        self.record_refusal(caller, entry).await
    }
}
