//! What the database tool does.

pub mod audit;

use std::time::Duration;

use sovd_domain::{Random, SystemRandom};
use sovd_settings::{Loaded, SecretString, Settings, Sources};
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
    /// The database that `sources` name.
    ///
    /// Nothing is signed here, so a deployment need not hand this tool the key of the tokens.
    ///
    /// # Errors
    ///
    /// When a setting is missing or wrong.
    pub fn from_sources(mut sources: Sources) -> Result<Self, StartError> {
        let unused_secret = format!("{}{}", SystemRandom.uuid(), SystemRandom.uuid());
        let unused = [
            ("auth.jwt_algorithm", "HS256".to_owned()),
            ("auth.jwt_secret", unused_secret),
        ];
        let unused = unused.map(|(key, value)| (key.to_owned(), value));
        sources.overrides.extend(unused);
        let Loaded { settings, .. } = Settings::load(sources)?;
        Ok(Self::new(&settings))
    }

    /// The database of `settings`.
    pub fn new(settings: &Settings) -> Self {
        Self {
            url: settings.database.url.expose().to_owned(),
            shown_url: settings.database.url.to_string(),
            is_production: settings.environment.is_production(),
            audit_retention: settings.audit.retention(),
            checkpoint_private_key: settings.audit.checkpoint_private_key.clone(),
            checkpoint_public_key: settings.audit.checkpoint_public_key.clone(),
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
