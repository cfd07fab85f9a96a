//! Commands and their states. Every state change is a compare-and-set.
//!
//! # Errors
//!
//! The functions of this module and its submodules return [`StorageError::Unavailable`] if the
//! database is unavailable, and [`StorageError::CorruptRow`] if a row cannot be read.
#![expect(
    clippy::missing_errors_doc,
    reason = "the module documentation describes the errors"
)]

pub mod idempotency;
pub mod queue;
pub mod responses;

use chrono::{DateTime, Utc};
use diesel::{pg::Pg, prelude::*};
use diesel_async::RunQueryDsl;
use serde_json::Value;
use sovd_domain::{
    Command, CommandId, CommandScope, CommandStatus, FailureKind, Finding, Page, UserId, VehicleId,
};
use uuid::Uuid;

use crate::{Connection, StorageError, fleet::scope::within, schema::commands};

/// The commands to list. Fields that are not set match all commands.
#[derive(Debug, Clone, Default)]
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
/// Returns [`StorageError::Dangling`] if the user or the vehicle does not exist.
pub async fn insert(connection: &mut Connection, command: &Command) -> Result<(), StorageError> {
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
        .execute(connection)
        .await?;
    Ok(())
}

/// Returns the command with the id, provided that `owner`, if given, submitted it.
pub async fn find(
    connection: &mut Connection,
    command_id: CommandId,
    owner: Option<UserId>,
) -> Result<Option<Command>, StorageError> {
    let mut query = commands::table.find(command_id.0).into_boxed();
    if let Some(owner) = owner {
        query = query.filter(commands::user_id.eq(owner.0));
    }
    let row = query
        .select(CommandRow::as_select())
        .first(connection)
        .await;
    read(row)
}

/// Returns the existing commands among `command_ids`, in no particular order.
pub async fn find_all(
    connection: &mut Connection,
    command_ids: &[CommandId],
) -> Result<Vec<Command>, StorageError> {
    let ids: Vec<Uuid> = command_ids.iter().map(|id| id.0).collect();
    let rows: Vec<CommandRow> = commands::table
        .filter(commands::command_id.eq_any(ids))
        .select(CommandRow::as_select())
        .load(connection)
        .await?;
    rows.into_iter().map(Command::try_from).collect()
}

/// Returns a page of the matching commands in `scope`, newest first, and the total number of matches.
pub async fn list(
    connection: &mut Connection,
    filter: &CommandFilter,
    scope: &CommandScope,
    page: Page,
) -> Result<(Vec<Command>, i64), StorageError> {
    let total = matching(filter, scope)
        .count()
        .get_result(connection)
        .await?;
    let rows: Vec<CommandRow> = matching(filter, scope)
        .select(CommandRow::as_select())
        .order((commands::submitted_at.desc(), commands::command_id.desc()))
        .limit(page.limit())
        .offset(page.offset())
        .load(connection)
        .await?;
    let found: Result<_, _> = rows.into_iter().map(Command::try_from).collect();
    Ok((found?, total))
}

/// Moves a command from `pending` to `in_progress`. Returns `None` if it is in another state.
pub async fn start(
    connection: &mut Connection,
    command_id: CommandId,
    now: DateTime<Utc>,
) -> Result<Option<Command>, StorageError> {
    let pending = commands::table
        .find(command_id.0)
        .filter(commands::status.eq(CommandStatus::Pending.as_str()));
    let row = diesel::update(pending)
        .set((
            commands::status.eq(CommandStatus::InProgress.as_str()),
            commands::started_at.eq(now),
        ))
        .returning(CommandRow::as_returning())
        .get_result(connection)
        .await;
    read(row)
}

/// Moves a command from `in_progress` to `completed`. Returns `None` if it is in another state.
pub async fn complete(
    connection: &mut Connection,
    command_id: CommandId,
    now: DateTime<Utc>,
) -> Result<Option<Command>, StorageError> {
    let running = commands::table
        .find(command_id.0)
        .filter(commands::status.eq(CommandStatus::InProgress.as_str()));
    let row = diesel::update(running)
        .set((
            commands::status.eq(CommandStatus::Completed.as_str()),
            commands::completed_at.eq(now),
        ))
        .returning(CommandRow::as_returning())
        .get_result(connection)
        .await;
    read(row)
}

/// Moves a command from `pending` or `in_progress` to `failed`. Returns `None` if it is in another
/// state.
pub async fn fail(
    connection: &mut Connection,
    command_id: CommandId,
    kind: FailureKind,
    message: &str,
    now: DateTime<Utc>,
) -> Result<Option<Command>, StorageError> {
    let open = commands::table
        .find(command_id.0)
        .filter(commands::status.eq_any(["pending", "in_progress"]));
    let row = diesel::update(open)
        .set((
            commands::status.eq(CommandStatus::Failed.as_str()),
            commands::failure_kind.eq(kind.as_str()),
            commands::error_message.eq(message),
            commands::completed_at.eq(now),
        ))
        .returning(CommandRow::as_returning())
        .get_result(connection)
        .await;
    read(row)
}

/// Records the finding of a probe. Returns `None` if the outcome of the command is not unknown or it
/// has a finding already.
pub async fn add_finding(
    connection: &mut Connection,
    command_id: CommandId,
    finding: Finding,
) -> Result<Option<Command>, StorageError> {
    let unknown = commands::table
        .find(command_id.0)
        .filter(commands::failure_kind.eq(FailureKind::OutcomeUnknown.as_str()))
        .filter(commands::finding.is_null());
    let row = diesel::update(unknown)
        .set(commands::finding.eq(finding.as_str()))
        .returning(CommandRow::as_returning())
        .get_result(connection)
        .await;
    read(row)
}

fn read(row: QueryResult<CommandRow>) -> Result<Option<Command>, StorageError> {
    row.optional()?.map(Command::try_from).transpose()
}

fn matching<'a>(filter: &'a CommandFilter, scope: &CommandScope) -> commands::BoxedQuery<'a, Pg> {
    let mut query = commands::table.into_boxed();
    for user_id in [filter.user_id, scope.user_id].into_iter().flatten() {
        query = query.filter(commands::user_id.eq(user_id.0));
    }
    if let Some(vehicle_id) = filter.vehicle_id {
        query = query.filter(commands::vehicle_id.eq(vehicle_id.0));
    }
    query = within!(query, commands::vehicle_id, &scope.vehicles);
    if let Some(status) = filter.status {
        query = query.filter(commands::status.eq(status.as_str()));
    }
    if let Some(name) = &filter.command_name {
        query = query.filter(commands::command_name.eq(name));
    }
    if let Some(start) = filter.start {
        query = query.filter(commands::submitted_at.ge(start));
    }
    if let Some(end) = filter.end {
        query = query.filter(commands::submitted_at.le(end));
    }
    query
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = commands, check_for_backend(Pg))]
struct CommandRow {
    command_id: Uuid,
    user_id: Uuid,
    vehicle_id: Uuid,
    command_name: String,
    command_params: Value,
    status: String,
    failure_kind: Option<String>,
    error_message: Option<String>,
    submitted_at: DateTime<Utc>,
    started_at: Option<DateTime<Utc>>,
    completed_at: Option<DateTime<Utc>>,
    expires_at: DateTime<Utc>,
    finding: Option<String>,
}

impl TryFrom<CommandRow> for Command {
    type Error = StorageError;

    fn try_from(row: CommandRow) -> Result<Self, StorageError> {
        let id = row.command_id;
        Ok(Self {
            command_id: CommandId(id),
            status: row
                .status
                .parse()
                .map_err(|error| StorageError::corrupt("commands", "status", id, error))?,
            failure_kind: row
                .failure_kind
                .map(|kind| kind.parse())
                .transpose()
                .map_err(|error| StorageError::corrupt("commands", "failure_kind", id, error))?,
            finding: row
                .finding
                .map(|finding| finding.parse())
                .transpose()
                .map_err(|error| StorageError::corrupt("commands", "finding", id, error))?,
            user_id: UserId(row.user_id),
            vehicle_id: VehicleId(row.vehicle_id),
            command_name: row.command_name,
            command_params: row.command_params,
            error_message: row.error_message,
            submitted_at: row.submitted_at,
            started_at: row.started_at,
            completed_at: row.completed_at,
            expires_at: row.expires_at,
        })
    }
}
