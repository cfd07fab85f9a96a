//! Commands and their states. Every state change is a compare-and-set.

pub mod batch;
pub mod idempotency;
pub mod queue;
pub mod responses;
pub mod retention;

use chrono::{DateTime, Utc};
use diesel::{dsl::IntervalDsl, pg::Pg, prelude::*};
use serde_json::Value;
use sovd_domain::{
    Command, CommandId, CommandScope, CommandStatus, FailureKind, Finding, Listing, Page, UserId,
    VehicleId, VehicleScope, paging::CommandKey,
};
use uuid::Uuid;

use crate::{
    Connection, Result,
    filters::filter_some,
    fleet::scope::within,
    rows::row,
    schema::commands,
    statement::{Statement, after_time, capped_count},
};

/// The commands to list. Fields that are not set match all commands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CommandFilter {
    /// Submitted by this user.
    pub user_id: Option<UserId>,
    /// Addressed to this vehicle.
    pub vehicle_id: Option<VehicleId>,
    /// In this state.
    pub status: Option<CommandStatus>,
    /// With this name.
    pub command_name: Option<String>,
    /// Submitted at or after this time.
    pub start: Option<DateTime<Utc>>,
    /// Submitted at or before this time.
    pub end: Option<DateTime<Utc>>,
}

/// Inserts an accepted command.
///
/// # Errors
///
/// Returns `StorageError::Dangling` if the user or the vehicle does not exist.
pub async fn insert(connection: &mut Connection, command: &Command) -> Result<()> {
    diesel::insert_into(commands::table)
        .values((
            commands::command_id.eq(command.command_id.0),
            commands::user_id.eq(command.user_id.0),
            commands::vehicle_id.eq(command.vehicle_id.0),
            commands::command_name.eq(&command.command_name),
            commands::command_params.eq(&command.command_params),
            commands::status.eq(command.status.as_str()),
            commands::submitted_at.eq(command.submitted_at),
            commands::expires_at.eq(command.expires_at),
        ))
        .run(connection)
        .await
}

/// Returns the command with the id, provided that `owner`, if given, submitted it.
pub async fn find(
    connection: &mut Connection,
    command_id: CommandId,
    owner: Option<UserId>,
) -> Result<Option<Command>> {
    let mut query = commands::table.find(command_id.0).into_boxed();
    filter_some!(query, commands::user_id.eq(owner.map(|id| id.0)));
    query
        .select(CommandRow::as_select())
        .fetch_first(connection)
        .await
}

/// Returns the existing commands among `command_ids`, in no particular order.
pub async fn find_all(
    connection: &mut Connection,
    command_ids: &[CommandId],
) -> Result<Vec<Command>> {
    let ids: Vec<Uuid> = command_ids.iter().map(|id| id.0).collect();
    commands::table
        .filter(commands::command_id.eq_any(ids))
        .select(CommandRow::as_select())
        .fetch_all(connection)
        .await
}

/// Returns a page of the matching commands in `scope`, newest first.
///
/// A page of the fleet, one vehicle, one user, one state or one name is an index scan in list order. A page of
/// the commands of several vehicles, as for a key of an admin, sorts them.
pub async fn list(
    connection: &mut Connection,
    filter: &CommandFilter,
    scope: &CommandScope,
    page: Page<CommandKey>,
) -> Result<Listing<Command>> {
    let mut query = matching(filter, scope);
    after_time!(
        query,
        commands::submitted_at,
        commands::command_id,
        page.key()
    );
    let is_entire = *filter == CommandFilter::default() && *scope == CommandScope::ALL;
    let count = capped_count(matching(filter, scope)).of_entire("commands", is_entire);
    let newest_id = commands::command_id.desc();
    let query = if has_several_vehicles(filter, scope) {
        // Ordering by an expression keeps PostgreSQL from scanning the index of the fleet in list order,
        // which would read the commands of every vehicle to find those of a few.
        let submitted_at = commands::submitted_at + 0.seconds();
        query.order((submitted_at.desc(), newest_id))
    } else {
        query.order((commands::submitted_at.desc(), newest_id))
    };
    query
        .select(CommandRow::as_select())
        .fetch_page(connection, count, &page)
        .await
}

/// Moves a command from `pending` to `in_progress`. Returns `None` if it is in another state.
pub async fn start(
    connection: &mut Connection,
    command_id: CommandId,
    now: DateTime<Utc>,
) -> Result<Option<Command>> {
    let pending = commands::table
        .find(command_id.0)
        .filter(commands::status.eq(CommandStatus::Pending.as_str()));
    diesel::update(pending)
        .set((
            commands::status.eq(CommandStatus::InProgress.as_str()),
            commands::started_at.eq(now),
        ))
        .returning(CommandRow::as_returning())
        .fetch_returned(connection)
        .await
}

/// Moves a command from `in_progress` to `completed`. Returns `None` if it is in another state.
pub async fn complete(
    connection: &mut Connection,
    command_id: CommandId,
    now: DateTime<Utc>,
) -> Result<Option<Command>> {
    let running = commands::table
        .find(command_id.0)
        .filter(commands::status.eq(CommandStatus::InProgress.as_str()));
    diesel::update(running)
        .set((
            commands::status.eq(CommandStatus::Completed.as_str()),
            commands::completed_at.eq(now),
        ))
        .returning(CommandRow::as_returning())
        .fetch_returned(connection)
        .await
}

/// Moves a command from `pending` or `in_progress` to `failed`. Returns `None` if it is in another
/// state.
pub async fn fail(
    connection: &mut Connection,
    command_id: CommandId,
    kind: FailureKind,
    message: &str,
    now: DateTime<Utc>,
) -> Result<Option<Command>> {
    let open = commands::table
        .find(command_id.0)
        .filter(commands::status.eq_any(["pending", "in_progress"]));
    diesel::update(open)
        .set((
            commands::status.eq(CommandStatus::Failed.as_str()),
            commands::failure_kind.eq(kind.as_str()),
            commands::error_message.eq(message),
            commands::completed_at.eq(now),
        ))
        .returning(CommandRow::as_returning())
        .fetch_returned(connection)
        .await
}

/// Records the finding of a probe. Returns `None` if the outcome of the command is not unknown or it
/// has a finding already.
pub async fn add_finding(
    connection: &mut Connection,
    command_id: CommandId,
    finding: Finding,
) -> Result<Option<Command>> {
    let unknown = commands::table
        .find(command_id.0)
        .filter(commands::failure_kind.eq(FailureKind::OutcomeUnknown.as_str()))
        .filter(commands::finding.is_null());
    diesel::update(unknown)
        .set(commands::finding.eq(finding.as_str()))
        .returning(CommandRow::as_returning())
        .fetch_returned(connection)
        .await
}

/// Returns whether the commands of several vehicles are selected, but not those of the fleet or of one user.
fn has_several_vehicles(filter: &CommandFilter, scope: &CommandScope) -> bool {
    let has_user = filter.user_id.is_some() || scope.user_id.is_some();
    !has_user && filter.vehicle_id.is_none() && scope.vehicles != VehicleScope::All
}

fn matching<'a>(filter: &'a CommandFilter, scope: &CommandScope) -> commands::BoxedQuery<'a, Pg> {
    let mut query = within!(
        commands::table.into_boxed(),
        commands::vehicle_id,
        &scope.vehicles
    );
    filter_some!(
        query,
        commands::user_id.eq(filter.user_id.map(|id| id.0)),
        commands::user_id.eq(scope.user_id.map(|id| id.0)),
        commands::vehicle_id.eq(filter.vehicle_id.map(|id| id.0)),
        commands::status.eq(filter.status.map(CommandStatus::as_str)),
        commands::command_name.eq(filter.command_name.as_ref()),
        commands::submitted_at.ge(filter.start),
        commands::submitted_at.le(filter.end),
    );
    query
}

row!(#[derive(diesel::QueryableByName)] CommandRow of commands[command_id] for Command {
    command_id: CommandId,
    user_id: UserId,
    vehicle_id: VehicleId,
    command_name: String,
    command_params: Value,
    status: CommandStatus,
    failure_kind: Option<FailureKind>,
    error_message: Option<String>,
    submitted_at: DateTime<Utc>,
    started_at: Option<DateTime<Utc>>,
    completed_at: Option<DateTime<Utc>>,
    expires_at: DateTime<Utc>,
    finding: Option<Finding>,
});
