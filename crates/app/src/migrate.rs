//! What the database tool does.

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

/// The database as its administrator sees it.
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

/// Seeds have passwords that everybody knows.
#[derive(Debug, Error)]
pub enum SeedError {
    /// The environment is production.
    #[error("the environment is production, and the seeds have known passwords; --force insists")]
    Production,
    /// The database did not take them.
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

    /// Waits until the database answers.
    ///
    /// # Errors
    ///
    /// [`StartError::DatabaseAway`] when it does not in time.
    pub async fn wait(&self, patience: Duration) -> Result<(), StartError> {
        migrations::wait_for(&self.url, patience)
            .await
            .map_err(|source| StartError::DatabaseAway {
                url: self.shown_url.clone(),
                seconds: patience.as_secs(),
                source,
            })
    }

    /// Applies what is pending and names it.
    ///
    /// # Errors
    ///
    /// When the database refuses.
    pub async fn up(&self) -> Result<Vec<String>, StartError> {
        self.told(migrations::up(&self.url).await)
    }

    /// Reverts the latest and names them.
    ///
    /// # Errors
    ///
    /// When the database refuses.
    pub async fn down(&self, steps: Steps) -> Result<Vec<String>, StartError> {
        self.told(migrations::down(&self.url, steps).await)
    }

    /// Reverts the latest one and applies it again.
    ///
    /// # Errors
    ///
    /// When the database refuses.
    pub async fn redo(&self) -> Result<Option<String>, StartError> {
        self.told(migrations::redo(&self.url).await)
    }

    /// Every migration and whether it is applied.
    ///
    /// # Errors
    ///
    /// When the database is away.
    pub async fn status(&self) -> Result<Vec<MigrationState>, StartError> {
        self.told(migrations::status(&self.url).await)
    }

    /// Inserts the seeds.
    ///
    /// # Errors
    ///
    /// [`SeedError::Production`] in production, unless `force` is given;
    /// [`StartError::PendingMigrations`] when there are no tables for them yet.
    pub async fn seed(&self, force: bool) -> Result<(), SeedError> {
        if self.is_production && !force {
            return Err(SeedError::Production);
        }
        let states = self.status().await?;
        refuse_pending(states)?;
        Ok(self.told(seeds::insert(&self.url).await)?)
    }

    /// Compares the live schema with the migrations.
    ///
    /// # Errors
    ///
    /// When the database is away or refuses.
    pub async fn verify(&self) -> Result<SchemaCheck, StartError> {
        self.told(verify::run(&self.url).await)
    }

    fn told<T>(&self, result: Result<T, StorageError>) -> Result<T, StartError> {
        result.map_err(|source| StartError::Database {
            url: self.shown_url.clone(),
            source,
        })
    }
}
