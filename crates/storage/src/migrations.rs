//! The migrations, embedded in the program.
//!
//! Every change holds an advisory lock, so two programs that start at once do not migrate twice.

use std::{fmt::Display, time::Duration};

use diesel::{
    ConnectionError,
    migration::{Migration, MigrationSource, MigrationVersion},
    pg::Pg,
    sql_query,
};
use diesel_async::{AsyncConnection, AsyncMigrationHarness, RunQueryDsl};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};
use tokio::{
    runtime::Builder,
    time::{Instant, sleep},
};

use crate::{Connection, StorageError, connection::Target};

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("../../migrations");

/// One migration of this program and whether the database has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MigrationState {
    /// Such as `00000000000001_command_execution`.
    pub name: String,
    /// Whether it has been applied.
    pub applied: bool,
}

/// How far [`down`] goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Steps {
    /// That many migrations, or as many as there are.
    Count(usize),
    /// Every migration.
    All,
}

/// Waits until the database at `url` accepts a connection, about `patience` long. Each attempt
/// gets the time that a connection needs, even when there is no patience left.
///
/// # Errors
///
/// [`StorageError::Unavailable`] with the last reason when it does not in time, and immediately
/// when the URL is malformed.
pub async fn wait_for(url: &str, patience: Duration) -> Result<(), StorageError> {
    const PAUSE: Duration = Duration::from_millis(200);
    const ATTEMPT: Duration = Duration::from_secs(2);
    let target = Target::parse(url).map_err(unavailable)?.within(ATTEMPT);
    let deadline = Instant::now() + patience;
    let mut logged = false;
    loop {
        let Err(error) = target.connect().await else {
            return Ok(());
        };
        if Instant::now() + PAUSE > deadline {
            return Err(unavailable(error));
        }
        if !logged {
            tracing::warn!(%error, patience_s = patience.as_secs(), "waiting for the database");
            logged = true;
        }
        sleep(PAUSE).await;
    }
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn unavailable(error: ConnectionError) -> StorageError {
    StorageError::Unavailable(error.to_string())
}

/// Applies every pending migration and names them in order.
///
/// # Errors
///
/// When the database is away or refuses one; those before it stay applied.
pub async fn up(url: &str) -> Result<Vec<String>, StorageError> {
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

/// Reverts the latest migrations and names them in order. It deletes what they had made.
///
/// # Errors
///
/// When the database is away, refuses, or has a migration that this program does not know.
pub async fn down(url: &str, steps: Steps) -> Result<Vec<String>, StorageError> {
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

/// Reverts the latest migration, applies it again and names it; nothing when none is applied.
/// Those that are pending stay so.
///
/// # Errors
///
/// As [`down`] and [`up`].
pub async fn redo(url: &str) -> Result<Option<String>, StorageError> {
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

/// Every migration of this program in order, and whether the database has it.
///
/// # Errors
///
/// When the database is away.
pub async fn status(url: &str) -> Result<Vec<MigrationState>, StorageError> {
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

/// Runs every migration on a connection that is already somewhere safe.
pub(crate) fn apply_all(
    harness: &mut AsyncMigrationHarness<Connection>,
) -> Result<(), StorageError> {
    harness.run_pending_migrations(MIGRATIONS).map_err(failed)?;
    Ok(())
}

/// Runs `work` on a runtime of its own: the harness blocks, which a single-threaded runtime
/// forbids.
pub(crate) async fn on_own_runtime<T: Send + 'static>(
    work: impl AsyncFnOnce() -> Result<T, StorageError> + Send + 'static,
) -> Result<T, StorageError> {
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

pub(crate) async fn connect(url: &str) -> Result<Connection, StorageError> {
    Connection::establish(url).await.map_err(unavailable)
}

async fn with_harness<T: Send + 'static>(
    url: &str,
    work: impl FnOnce(&mut AsyncMigrationHarness<Connection>) -> Result<T, StorageError>
    + Send
    + 'static,
) -> Result<T, StorageError> {
    let url = url.to_owned();
    on_own_runtime(async move || {
        let mut connection = connect(&url).await?;
        sql_query("SELECT pg_advisory_lock(hashtext('sovd migrations'))")
            .execute(&mut connection)
            .await?;
        work(&mut AsyncMigrationHarness::new(connection))
    })
    .await
}

fn known() -> Result<Vec<Box<dyn Migration<Pg>>>, StorageError> {
    let mut migrations = MIGRATIONS.migrations().map_err(failed)?;
    migrations.sort_by(|one, other| one.name().version().cmp(&other.name().version()));
    Ok(migrations)
}

fn revert(
    harness: &mut AsyncMigrationHarness<Connection>,
    known: &[Box<dyn Migration<Pg>>],
    version: &MigrationVersion<'_>,
) -> Result<String, StorageError> {
    let migration = find(known, version)?;
    harness.revert_migration(migration).map_err(failed)?;
    Ok(migration.name().to_string())
}

fn find<'a>(
    known: &'a [Box<dyn Migration<Pg>>],
    version: &MigrationVersion<'_>,
) -> Result<&'a dyn Migration<Pg>, StorageError> {
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
