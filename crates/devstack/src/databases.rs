use std::collections::HashMap;
use std::error::Error;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OnceCell;

use crate::database_url::with_database;
use crate::error::StackError;
use crate::maintenance::Maintenance;
use crate::owner_tag::OwnerTag;
use crate::sweep::end_sessions_statement;
use crate::test_database::TestDatabase;

/// Test databases on one server, and the templates they are copied from.
#[derive(Debug)]
pub(crate) struct Databases {
    url: String,
    tag: OwnerTag,
    maintenance: Maintenance,
    /// The name of each template database by its key, once it is migrated.
    templates: Mutex<HashMap<String, Arc<OnceCell<String>>>>,
    count: AtomicU64,
}

impl Databases {
    /// `tidy` means that the server outlives this process.
    pub(crate) fn new(url: String, tidy: bool) -> Result<Self, StackError> {
        with_database(&url, "")?;
        let tag = OwnerTag::new()?;
        let maintenance = Maintenance::start(url.clone(), tag, tidy)?;
        Ok(Self {
            url,
            tag,
            maintenance,
            templates: Mutex::default(),
            count: AtomicU64::new(0),
        })
    }

    /// `template0` takes no connections, so nobody can be in the way of a copy.
    pub(crate) async fn empty(&self) -> Result<TestDatabase, StackError> {
        self.copy("template0").await
    }

    pub(crate) async fn migrated<E>(
        &self,
        key: &str,
        migrate: impl AsyncFnOnce(&str) -> Result<(), E>,
    ) -> Result<TestDatabase, StackError>
    where
        E: Into<Box<dyn Error + Send + Sync>>,
    {
        let template = Arc::clone(
            self.templates
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .entry(key.to_owned())
                .or_default(),
        );
        let name = template
            .get_or_try_init(|| self.template(key, migrate))
            .await?;
        self.copy(name).await
    }

    /// Nobody may be connected to a database that is copied, and a migration may leave a
    /// connection that closes later. So the finished template refuses connections, and those
    /// that are left are ended.
    async fn template<E>(
        &self,
        key: &str,
        migrate: impl AsyncFnOnce(&str) -> Result<(), E>,
    ) -> Result<String, StackError>
    where
        E: Into<Box<dyn Error + Send + Sync>>,
    {
        let database = self.empty().await?;
        migrate(database.url())
            .await
            .map_err(|error| StackError::Migration {
                key: key.to_owned(),
                source: error.into(),
            })?;
        let name = database.name();
        let seal = vec![
            format!("ALTER DATABASE {name} ALLOW_CONNECTIONS false"),
            end_sessions_statement(name),
        ];
        self.maintenance.handle().run(seal).await?;
        Ok(database.keep())
    }

    /// The value exists before the database does, so that a caller who gives up half way still
    /// has it dropped.
    async fn copy(&self, template: &str) -> Result<TestDatabase, StackError> {
        let name = self
            .tag
            .database(self.count.fetch_add(1, Ordering::Relaxed));
        let create = format!("CREATE DATABASE {name} TEMPLATE {template}");
        let maintenance = self.maintenance.handle();
        let url = with_database(&self.url, &name)?;
        let database = TestDatabase::new(name, url, maintenance.clone());
        maintenance.run(vec![create]).await?;
        Ok(database)
    }
}
