//! Sending commands and looking at them.

mod cancel;
pub(crate) mod completion;
pub mod dispatch;
mod fingerprint;
pub mod streams;
mod submit;
mod waiting;
pub(crate) mod work_notifier;

use std::{sync::Arc, time::Duration};

use sovd_domain::{
    Catalog, Command, CommandId, Page, Permission, Random, Response, UserId, VehicleId,
};
use sovd_storage::{
    Connection, StorageError,
    commands::{self, responses},
};

use crate::{
    audit::refusals::Concealed,
    commands::work_notifier::WorkNotifier,
    error::ServiceError,
    event_publisher::EventPublisher,
    identity::{access::Access, caller::Caller},
    keyed_locks::KeyedLocks,
    limits::Limits,
};

pub use sovd_storage::commands::CommandFilter;
pub use submit::{Submission, Submitted};
pub use waiting::WaitingLimits;

/// How long an idempotency key stands for its command.
pub const KEY_LIFETIME: Duration = Duration::from_hours(24);

/// Takes commands in and shows what became of them.
pub struct Commands {
    access: Access,
    catalog: Arc<Catalog>,
    event_publisher: EventPublisher,
    work_notifier: WorkNotifier,
    random: Arc<dyn Random>,
    limits: Arc<Limits>,
    waiting: WaitingLimits,
    submission_locks: KeyedLocks<VehicleId>,
}

impl Commands {
    /// Creates a command service that accepts commands at the rate of `limits`, and no more than
    /// `waiting` allows in the queue.
    pub fn new(
        access: Access,
        catalog: Arc<Catalog>,
        event_publisher: EventPublisher,
        work_notifier: WorkNotifier,
        random: Arc<dyn Random>,
        limits: Arc<Limits>,
        waiting: WaitingLimits,
    ) -> Self {
        Self {
            access,
            catalog,
            event_publisher,
            work_notifier,
            random,
            limits,
            waiting,
            submission_locks: KeyedLocks::new("submissions to one vehicle", usize::MAX),
        }
    }

    /// Every command that can be sent.
    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// One page of the commands that match, newest first, and how many match in all. Who may
    /// see only the own ones sees only those, whatever the filter says.
    ///
    /// # Errors
    ///
    /// When the caller may not see commands.
    pub async fn list(
        &self,
        caller: &Caller,
        filter: CommandFilter,
        page: Page,
    ) -> Result<(Vec<Command>, i64), ServiceError> {
        caller.require(Permission::ReadOwnCommands)?;
        let mut filter = CommandFilter {
            among: caller.vehicles(),
            ..filter
        };
        if let Some(owner) = visible_owner(caller) {
            if filter.user_id.is_some_and(|other| other != owner) {
                return Ok((Vec::new(), 0));
            }
            filter.user_id = Some(owner);
        }
        let mut connection = self.access.bulk_connection(caller).await?;
        Ok(commands::list(&mut connection, &filter, page).await?)
    }

    /// The command with the id.
    ///
    /// # Errors
    ///
    /// [`ServiceError::NotFound`] when there is none that the caller may see.
    pub async fn get(
        &self,
        caller: &Caller,
        command_id: CommandId,
    ) -> Result<Command, ServiceError> {
        caller.require(Permission::ReadOwnCommands)?;
        let found = {
            let mut connection = self.access.connection().await?;
            find(&mut connection, caller, command_id).await?
        };
        match found {
            Some(command) => Ok(command),
            None => Err(self.missing(caller, command_id, "command.read").await?),
        }
    }

    /// The chunks of the answer so far, in order.
    ///
    /// # Errors
    ///
    /// [`ServiceError::NotFound`] when there is no such command that the caller may see.
    pub async fn responses(
        &self,
        caller: &Caller,
        command_id: CommandId,
    ) -> Result<Vec<Response>, ServiceError> {
        self.get(caller, command_id).await?;
        let mut connection = self.access.connection().await?;
        Ok(responses::list(&mut connection, command_id, 0).await?)
    }

    /// Returns that there is no such command, and records the attempt if there is one of another user.
    async fn missing(
        &self,
        caller: &Caller,
        command_id: CommandId,
        action: &'static str,
    ) -> Result<ServiceError, ServiceError> {
        let object = Concealed::Command(command_id);
        self.access.record_missing(caller, object, action).await?;
        Ok(ServiceError::NotFound {
            what: "command",
            pointer: None,
        })
    }
}

/// The command with the id, if the caller may know of it and of its vehicle.
async fn find(
    connection: &mut Connection,
    caller: &Caller,
    command_id: CommandId,
) -> Result<Option<Command>, StorageError> {
    let found = commands::find(connection, command_id, visible_owner(caller)).await?;
    let Some(command) = found else {
        return Ok(None);
    };
    let is_reached = caller
        .can_access_vehicle(connection, command.vehicle_id)
        .await?;
    Ok(is_reached.then_some(command))
}

/// Whose commands the caller may know of; nobody in particular for those who may see all.
pub(crate) fn visible_owner(caller: &Caller) -> Option<UserId> {
    (!caller.may(Permission::ReadAllCommands)).then_some(caller.user.user_id)
}
