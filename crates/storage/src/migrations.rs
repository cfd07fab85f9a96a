//! The migrations, embedded in the program.
//!
//! Every function that needs a connection takes an advisory lock first, so processes that start at the same
//! time migrate once.
//!
//! # Errors
//!
//! [`StorageError::Unavailable`] if the database cannot be reached, [`StorageError::Migration`] if it
//! rejects a migration or has migrations of the series before the renumbering. The functions below name
//! only further conditions.

use std::{fmt::Display, time::Duration};

use diesel::{
    dsl::sql,
    migration::{Migration, MigrationSource, MigrationVersion},
    pg::Pg,
    select, sql_query,
    sql_types::Bool,
};
use diesel_async::{AsyncConnection, AsyncMigrationHarness, RunQueryDsl};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};
use tokio::{
    runtime::Builder,
    time::{Instant, sleep},
};

use crate::{Connection, Result, StorageError, connection::Target};

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("../../migrations");

/// A migration of this program and its state in the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MigrationState {
    /// Such as `00000000000001_command_execution`.
    pub name: String,
    /// Whether it is applied.
    pub applied: bool,
}

/// The number of migrations that [`down`] reverts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Steps {
    /// At most this number.
    Count(usize),
    /// All of them.
    All,
}

/// Waits up to `timeout` until the database at `url` accepts a connection. An attempt that has begun may
/// exceed the timeout.
///
/// # Errors
///
/// [`StorageError::Unavailable`] with the last reason after the timeout, and immediately if the URL is
/// malformed.
pub async fn wait_for(url: &str, timeout: Duration) -> Result<()> {
    const DELAY: Duration = Duration::from_millis(200);
    const ATTEMPT: Duration = Duration::from_secs(2);
    let target = Target::parse(url)?.within(ATTEMPT);
    let deadline = Instant::now() + timeout;
    let mut logged = false;
    loop {
        let Err(error) = target.connect().await else {
            return Ok(());
        };
        if Instant::now() + DELAY > deadline {
            return Err(error.into());
        }
        if !logged {
            tracing::warn!(%error, timeout_s = timeout.as_secs(), "waiting for the database");
            logged = true;
        }
        sleep(DELAY).await;
    }
}

/// Applies the pending migrations in order and returns their names.
///
/// # Errors
///
/// If a migration fails, the migrations before it stay applied. See the [module](self#errors).
pub async fn up(url: &str) -> Result<Vec<String>> {
    with_harness(url, |harness| {
        let pending = harness.pending_migrations(MIGRATIONS).map_err(failed)?;
        pending
            .iter()
            .map(|migration| {
                harness.run_migration(migration.as_ref()).map_err(failed)?;
                Ok(migration.name().to_string())
            })
            .collect()
    })
    .await
}

/// Reverts the latest migrations, with the data in their tables, and returns their names in that order.
///
/// # Errors
///
/// [`StorageError::Migration`] also if an applied migration is unknown to this program. See the
/// [module](self#errors).
pub async fn down(url: &str, steps: Steps) -> Result<Vec<String>> {
    with_harness(url, move |harness| {
        let known = known()?;
        let applied = harness.applied_migrations().map_err(failed)?;
        let count = match steps {
            Steps::Count(count) => count,
            Steps::All => applied.len(),
        };
        applied
            .iter()
            .take(count)
            .map(|version| revert(harness, &known, version))
            .collect()
    })
    .await
}

/// Reverts the latest migration, applies it again and returns its name, or `None` if none is applied.
/// Pending migrations stay pending.
pub async fn redo(url: &str) -> Result<Option<String>> {
    with_harness(url, |harness| {
        let applied = harness.applied_migrations().map_err(failed)?;
        let [version, ..] = applied.as_slice() else {
            return Ok(None);
        };
        let known = known()?;
        let migration = find(&known, version)?;
        harness.revert_migration(migration).map_err(failed)?;
        harness.run_migration(migration).map_err(failed)?;
        Ok(Some(migration.name().to_string()))
    })
    .await
}

/// Returns the migrations of this program in order, with their state in the database.
pub async fn status(url: &str) -> Result<Vec<MigrationState>> {
    with_harness(url, |harness| {
        let applied = harness.applied_migrations().map_err(failed)?;
        let states = known()?
            .iter()
            .map(|migration| MigrationState {
                name: migration.name().to_string(),
                applied: applied.contains(&migration.name().version()),
            })
            .collect();
        Ok(states)
    })
    .await
}

/// Applies all migrations in the schema that the connection has selected.
pub(crate) fn apply_all(harness: &mut AsyncMigrationHarness<Connection>) -> Result<()> {
    harness.run_pending_migrations(MIGRATIONS).map_err(failed)?;
    Ok(())
}

/// Runs `work` on a dedicated runtime: the harness blocks the thread, which a single-threaded runtime
/// forbids.
pub(crate) async fn on_dedicated_runtime<T: Send + 'static>(
    work: impl AsyncFnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(move || {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .map_err(failed)?;
        runtime.block_on(work())
    })
    .await
    .map_err(failed)?
}

pub(crate) async fn connect(url: &str) -> Result<Connection> {
    Ok(Connection::establish(url).await?)
}

async fn with_harness<T: Send + 'static>(
    url: &str,
    work: impl FnOnce(&mut AsyncMigrationHarness<Connection>) -> Result<T> + Send + 'static,
) -> Result<T> {
    let url = url.to_owned();
    on_dedicated_runtime(async move || {
        let mut connection = connect(&url).await?;
        sql_query("SELECT pg_advisory_lock(hashtext('sovd migrations'))")
            .execute(&mut connection)
            .await?;
        let has_prunings = sql::<Bool>("to_regclass('audit_prunings') IS NOT NULL");
        let has_prunings: bool = select(has_prunings).get_result(&mut connection).await?;
        let mut harness = AsyncMigrationHarness::new(connection);
        if !has_prunings {
            refuse_older_series(&mut harness)?;
        }
        work(&mut harness)
    })
    .await
}

/// Refuses a database without `audit_prunings` if the migration that creates this table is applied: then
/// its version is that of another migration, from before the renumbering. Unknown versions are accepted,
/// because a newer program may have applied them.
fn refuse_older_series(harness: &mut AsyncMigrationHarness<Connection>) -> Result<()> {
    const AUDIT: &str = "00000000000004";
    let applied = harness.applied_migrations().map_err(failed)?;
    if !applied.contains(&MigrationVersion::from(AUDIT)) {
        return Ok(());
    }
    let latest = applied.iter().max().map(ToString::to_string);
    Err(failed(format!(
        "the applied migrations up to {} belong to an older series with the same numbers, because the \
         table audit_prunings is missing; create the database again",
        latest.unwrap_or_default()
    )))
}

fn known() -> Result<Vec<Box<dyn Migration<Pg>>>> {
    let mut migrations = MIGRATIONS.migrations().map_err(failed)?;
    migrations.sort_by(|one, other| one.name().version().cmp(&other.name().version()));
    Ok(migrations)
}

fn revert(
    harness: &mut AsyncMigrationHarness<Connection>,
    known: &[Box<dyn Migration<Pg>>],
    version: &MigrationVersion<'_>,
) -> Result<String> {
    let migration = find(known, version)?;
    harness.revert_migration(migration).map_err(failed)?;
    Ok(migration.name().to_string())
}

fn find<'a>(
    known: &'a [Box<dyn Migration<Pg>>],
    version: &MigrationVersion<'_>,
) -> Result<&'a dyn Migration<Pg>> {
    known
        .iter()
        .find(|migration| migration.name().version() == *version)
        .map(Box::as_ref)
        .ok_or_else(|| {
            failed(format!(
                "{version} is unknown to this version of the program"
            ))
        })
}

fn failed(error: impl Display) -> StorageError {
    StorageError::Migration(error.to_string())
}
