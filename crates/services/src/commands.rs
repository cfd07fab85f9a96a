//! Submission, cancellation and reading of commands.

mod cancel;
pub(crate) mod completion;
pub mod dispatch;
mod fingerprint;
pub mod streams;
mod submission_writer;
mod submit;
mod waiting;
pub(crate) mod work_notifier;

use std::{sync::Arc, time::Duration};

use sovd_domain::{
    Catalog, Command, CommandId, CommandScope, Listing, Page, Permission, Random, Response, UserId,
    VehicleId,
    paging::{CommandKey, ResponseKey},
};
use sovd_storage::{
    Connection, StorageError,
    commands::{self, responses},
};

use crate::{
    audit::refusals::Concealed,
    commands::work_notifier::WorkNotifier,
    error::Result,
    event_publisher::EventPublisher,
    group_commit::GroupCommit,
    identity::{access::Access, caller::Caller},
    keyed_permits::KeyedPermits,
    limits::Limits,
};

pub use sovd_storage::commands::CommandFilter;
use submission_writer::SubmissionWriter;
pub use submit::{Submission, Submitted};
pub use waiting::WaitingLimits;

/// Time that a submission waits for earlier ones to the same vehicle.
const SUBMISSION_TIMEOUT: Duration = Duration::from_secs(10);

/// Time for which an idempotency key identifies its command.
pub const KEY_LIFETIME: Duration = Duration::from_hours(24);

/// Maximum number of submissions that wait to be written. Further ones are refused.
const WAITING_SUBMISSIONS: usize = 1024;

/// Accepts commands and reads them.
pub struct Commands {
    access: Access,
    catalog: Arc<Catalog>,
    event_publisher: EventPublisher,
    work_notifier: WorkNotifier,
    random: Arc<dyn Random>,
    limits: Arc<Limits>,
    waiting: WaitingLimits,
    submissions: GroupCommit<SubmissionWriter>,
    /// Serializes the submissions to one vehicle that are written alone, which wait here without a
    /// connection.
    submission_locks: Arc<KeyedPermits<VehicleId>>,
}

impl Commands {
    /// Creates the service. `limits` bounds the rate of submissions, `waiting` the length of the queues.
    pub fn new(
        access: Access,
        catalog: Arc<Catalog>,
        event_publisher: EventPublisher,
        work_notifier: WorkNotifier,
        random: Arc<dyn Random>,
        limits: Arc<Limits>,
        waiting: WaitingLimits,
    ) -> Self {
        let submissions = SubmissionWriter {
            access: access.clone(),
            limits: Arc::clone(&limits),
            waiting,
            event_publisher: event_publisher.clone(),
            work_notifier: work_notifier.clone(),
        };
        Self {
            submissions: GroupCommit::start(submissions, WAITING_SUBMISSIONS),
            access,
            catalog,
            event_publisher,
            work_notifier,
            random,
            limits,
            waiting,
            submission_locks: Arc::new(KeyedPermits::new(1, usize::MAX, SUBMISSION_TIMEOUT)),
        }
    }

    /// Returns the catalog of commands.
    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// Returns one page of the matching commands, newest first. A caller
    /// without [`Permission::ReadAllCommands`] sees only their own commands.
    pub async fn list(
        &self,
        caller: &Caller,
        filter: &CommandFilter,
        page: Page<CommandKey>,
    ) -> Result<Listing<Command>> {
        let scope = CommandScope {
            user_id: visible_owner(caller),
            vehicles: caller.vehicle_scope(),
        };
        caller.require(Permission::ReadOwnCommands)?;
        let mut connection = self.access.bulk_connection(caller).await?;
        Ok(commands::list(&mut connection, filter, &scope, page).await?)
    }

    /// Returns a command.
    pub async fn get(&self, caller: &Caller, command_id: CommandId) -> Result<Command> {
        caller.require(Permission::ReadOwnCommands)?;
        let found = {
            let mut connection = self.access.connection().await?;
            find(&mut connection, caller, command_id).await?
        };
        if let Some(command) = found {
            return Ok(command);
        }
        let object = Concealed::Command(command_id);
        Err(self.access.missing(caller, object, "command.read").await)
    }

    /// Returns all responses received so far, in order.
    pub async fn responses(&self, caller: &Caller, command_id: CommandId) -> Result<Vec<Response>> {
        self.get(caller, command_id).await?;
        let mut connection = self.access.connection().await?;
        Ok(responses::list(&mut connection, command_id, 0).await?)
    }

    /// Returns a page of the responses received so far, in order.
    pub async fn page_of_responses(
        &self,
        caller: &Caller,
        command_id: CommandId,
        page: Page<ResponseKey>,
    ) -> Result<Listing<Response>> {
        self.get(caller, command_id).await?;
        let mut connection = self.access.connection().await?;
        Ok(responses::page(&mut connection, command_id, page).await?)
    }
}

/// Returns the command if the caller may see it and its vehicle.
async fn find(
    connection: &mut Connection,
    caller: &Caller,
    command_id: CommandId,
) -> Result<Option<Command>, StorageError> {
    let found = commands::find(connection, command_id, visible_owner(caller)).await?;
    let Some(command) = found else {
        return Ok(None);
    };
    let can_access = caller
        .can_access_vehicle(connection, command.vehicle_id)
        .await?;
    Ok(can_access.then_some(command))
}

/// Returns the user whose commands the caller may see, `None` for all users.
pub(crate) fn visible_owner(caller: &Caller) -> Option<UserId> {
    (!caller.may(Permission::ReadAllCommands)).then_some(caller.user.user_id)
}
