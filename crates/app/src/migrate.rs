//! The operations of the database tool.
//!
//! They return [`StartError::Database`] if the database is unavailable or rejects a statement.

#![expect(
    clippy::missing_errors_doc,
    reason = "the module documents the error of all operations"
)]

pub mod audit;

use std::time::Duration;

use serde::Deserialize;
use sovd_settings::{Audit, Database, DeploymentEnvironment, Settings, Sources, load_sections};
use sovd_storage::{StorageError, migrations, seeds, verify};

use crate::error::StartError;

pub use sovd_storage::{
    migrations::{MigrationState, Steps},
    verify::{Count, Difference, SchemaCheck},
};

/// Administers the database.
#[derive(Deserialize)]
pub struct Migrator {
    environment: DeploymentEnvironment,
    database: Database,
    audit: Audit,
}

impl Migrator {
    /// Loads the settings that the database tool needs. It needs no key that signs tokens.
    ///
    /// # Errors
    ///
    /// [`StartError::Settings`] if one of them is missing or invalid.
    pub fn from_sources(sources: Sources) -> Result<Self, StartError> {
        Ok(load_sections(sources, &["environment", "database", "audit"])?.settings)
    }

    /// Returns the migrator of the database in `settings`.
    pub fn new(settings: &Settings) -> Self {
        Self {
            environment: settings.environment,
            database: settings.database.clone(),
            audit: settings.audit.clone(),
        }
    }

    /// Waits until the database responds.
    ///
    /// # Errors
    ///
    /// [`StartError::DatabaseUnavailable`] if it does not respond within `timeout`.
    pub async fn wait(&self, timeout: Duration) -> Result<(), StartError> {
        let waited = migrations::wait_for(self.url(), timeout).await;
        waited.map_err(|source| StartError::DatabaseUnavailable {
            url: self.database.url.to_string(),
            seconds: timeout.as_secs(),
            source,
        })
    }

    /// Applies the pending migrations and returns their names.
    pub async fn up(&self) -> Result<Vec<String>, StartError> {
        self.with_url(migrations::up(self.url()).await)
    }

    /// Reverts the latest migrations and returns their names.
    pub async fn down(&self, steps: Steps) -> Result<Vec<String>, StartError> {
        self.with_url(migrations::down(self.url(), steps).await)
    }

    /// Reverts the latest migration and applies it again.
    pub async fn redo(&self) -> Result<Option<String>, StartError> {
        self.with_url(migrations::redo(self.url()).await)
    }

    /// Returns every migration and whether it is applied.
    pub async fn status(&self) -> Result<Vec<MigrationState>, StartError> {
        self.with_url(migrations::status(self.url()).await)
    }

    /// Inserts the seeds.
    ///
    /// # Errors
    ///
    /// [`StartError::SeedsInProduction`] in production, unless `force` is given;
    /// [`StartError::PendingMigrations`] if the database is not migrated.
    pub async fn seed(&self, force: bool) -> Result<(), StartError> {
        if self.environment.is_production() && !force {
            return Err(StartError::SeedsInProduction);
        }
        self.refuse_pending().await?;
        self.with_url(seeds::insert(self.url()).await)
    }

    /// Fails unless all migrations are applied.
    pub(crate) async fn refuse_pending(&self) -> Result<(), StartError> {
        let states = self.status().await?.into_iter();
        let pending = states.filter(|state| !state.applied);
        let pending: Vec<String> = pending.map(|state| state.name).collect();
        if pending.is_empty() {
            return Ok(());
        }
        Err(StartError::PendingMigrations { pending })
    }

    /// Compares the live schema with the migrations.
    pub async fn verify(&self) -> Result<SchemaCheck, StartError> {
        self.with_url(verify::run(self.url()).await)
    }

    fn url(&self) -> &str {
        self.database.url.expose()
    }

    fn with_url<T>(&self, result: Result<T, StorageError>) -> Result<T, StartError> {
        result.map_err(|source| StartError::Database {
            url: self.database.url.to_string(),
            source,
        })
    }
}
