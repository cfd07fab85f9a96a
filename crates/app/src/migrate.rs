//! The operations of the database tool.
//!
//! They return [`StartError::Database`] if the database is unavailable or rejects a statement.

pub mod audit;

use std::time::Duration;

use serde::Deserialize;
use sovd_settings::{
    Audit, Database, DeploymentEnvironment, SecretString, Settings, Sources, load_sections,
};
use sovd_storage::{StorageError, migrations, seeds, verify};
use thiserror::Error;

use crate::{build::refuse_pending, error::StartError};

pub use sovd_storage::{
    migrations::{MigrationState, Steps},
    verify::{Count, Difference, SchemaCheck},
};

/// Administers the database.
pub struct Migrator {
    url: String,
    shown_url: String,
    is_production: bool,
    audit_retention: Option<Duration>,
    checkpoint_private_key: Option<SecretString>,
    checkpoint_public_key: Option<String>,
}

/// The sections of the settings that the database tool needs.
#[derive(Deserialize)]
struct DatabaseSections {
    environment: DeploymentEnvironment,
    database: Database,
    audit: Audit,
}

/// The seeds were not inserted.
#[derive(Debug, Error)]
pub enum SeedError {
    /// The environment is production, and the seeds have known passwords.
    #[error("the environment is production, and the seeds have known passwords; --force insists")]
    Production,
    /// The database is unavailable or rejects the seeds.
    #[error(transparent)]
    Database(#[from] StartError),
}

impl Migrator {
    /// Loads the settings that the database tool needs. It needs no key that signs tokens.
    ///
    /// # Errors
    ///
    /// [`StartError::Settings`] if one of them is missing or invalid.
    pub fn from_sources(sources: Sources) -> Result<Self, StartError> {
        let DatabaseSections {
            environment,
            database,
            audit,
        } = load_sections(sources, &["environment", "database", "audit"])?.settings;
        Ok(Self::of(environment, &database, audit))
    }

    /// Returns the migrator of the database in `settings`.
    pub fn new(settings: &Settings) -> Self {
        let Settings {
            environment,
            database,
            audit,
            ..
        } = settings;
        Self::of(*environment, database, audit.clone())
    }

    fn of(environment: DeploymentEnvironment, database: &Database, audit: Audit) -> Self {
        Self {
            url: database.url.expose().to_owned(),
            shown_url: database.url.to_string(),
            is_production: environment.is_production(),
            audit_retention: audit.retention(),
            checkpoint_private_key: audit.checkpoint_private_key,
            checkpoint_public_key: audit.checkpoint_public_key,
        }
    }

    /// Waits until the database responds.
    ///
    /// # Errors
    ///
    /// [`StartError::DatabaseAway`] if it does not respond within `timeout`.
    pub async fn wait(&self, timeout: Duration) -> Result<(), StartError> {
        migrations::wait_for(&self.url, timeout)
            .await
            .map_err(|source| StartError::DatabaseAway {
                url: self.shown_url.clone(),
                seconds: timeout.as_secs(),
                source,
            })
    }

    /// Applies the pending migrations and returns their names.
    ///
    /// # Errors
    ///
    /// See the [module](self).
    pub async fn up(&self) -> Result<Vec<String>, StartError> {
        self.with_url(migrations::up(&self.url).await)
    }

    /// Reverts the latest migrations and returns their names.
    ///
    /// # Errors
    ///
    /// See the [module](self).
    pub async fn down(&self, steps: Steps) -> Result<Vec<String>, StartError> {
        self.with_url(migrations::down(&self.url, steps).await)
    }

    /// Reverts the latest migration and applies it again.
    ///
    /// # Errors
    ///
    /// See the [module](self).
    pub async fn redo(&self) -> Result<Option<String>, StartError> {
        self.with_url(migrations::redo(&self.url).await)
    }

    /// Returns every migration and whether it is applied.
    ///
    /// # Errors
    ///
    /// See the [module](self).
    pub async fn status(&self) -> Result<Vec<MigrationState>, StartError> {
        self.with_url(migrations::status(&self.url).await)
    }

    /// Inserts the seeds.
    ///
    /// # Errors
    ///
    /// [`SeedError::Production`] in production, unless `force` is given;
    /// [`StartError::PendingMigrations`] if the database is not migrated.
    pub async fn seed(&self, force: bool) -> Result<(), SeedError> {
        if self.is_production && !force {
            return Err(SeedError::Production);
        }
        let states = self.status().await?;
        refuse_pending(states)?;
        Ok(self.with_url(seeds::insert(&self.url).await)?)
    }

    /// Compares the live schema with the migrations.
    ///
    /// # Errors
    ///
    /// See the [module](self).
    pub async fn verify(&self) -> Result<SchemaCheck, StartError> {
        self.with_url(verify::run(&self.url).await)
    }

    fn with_url<T>(&self, result: Result<T, StorageError>) -> Result<T, StartError> {
        result.map_err(|source| StartError::Database {
            url: self.shown_url.clone(),
            source,
        })
    }
}
