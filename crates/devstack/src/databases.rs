use std::collections::HashMap;
use std::error::Error;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::runtime::{self, Runtime};
use tokio::sync::Mutex;
use tokio_postgres::{Client, NoTls};
use url::Url;

use crate::administration::{Administration, drop_statements, terminate_sessions};
use crate::error::StackError;

/// Test databases on one server, and the templates they are copied from.
///
/// They are created and dropped on a runtime of their own, because every test has its own runtime
/// and `drop` has none.
#[derive(Debug)]
pub(crate) struct Databases {
    administration: Arc<Administration>,
    /// The name of each migrated template database by its key.
    templates: Mutex<HashMap<String, String>>,
    count: AtomicU64,
    is_external: bool,
    runtime: Option<Runtime>,
}

impl Databases {
    /// The databases on an external server are dropped with this value; a private server is removed
    /// with all its data.
    pub(crate) fn new(url: String, is_external: bool) -> Result<Self, StackError> {
        with_database(&url, "")?;
        let runtime = runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("devstack-databases")
            .enable_all()
            .build()
            .map_err(StackError::io("start", "a runtime"))?;
        let administration = Administration::new(url, runtime.handle().clone())?;
        Ok(Self {
            administration: Arc::new(administration),
            templates: Mutex::default(),
            count: AtomicU64::new(0),
            is_external,
            runtime: Some(runtime),
        })
    }

    /// `template0` accepts no connections, so none can prevent a copy.
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
        let mut templates = self.templates.lock().await;
        let name = if let Some(name) = templates.get(key) {
            name.clone()
        } else {
            let name = self.template(key, migrate).await?;
            templates.insert(key.to_owned(), name.clone());
            name
        };
        drop(templates);
        self.copy(&name).await
    }

    /// PostgreSQL cannot copy a database that has connections, and a migration may leave one that
    /// closes later. So the template refuses connections, and the remaining ones are terminated.
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
        let close = vec![
            format!("ALTER DATABASE {name} ALLOW_CONNECTIONS false"),
            terminate_sessions(name),
        ];
        self.administration.run(close).await?;
        Ok(database.keep())
    }

    async fn copy(&self, template: &str) -> Result<TestDatabase, StackError> {
        let number = self.count.fetch_add(1, Ordering::Relaxed);
        let name = format!("{}{number}", self.administration.prefix());
        let create = format!("CREATE DATABASE {name} TEMPLATE {template}");
        // This value exists before the database, which is thus dropped even if the caller is
        // cancelled.
        let database = TestDatabase {
            url: with_database(&self.administration.url, &name)?,
            name,
            administration: Arc::clone(&self.administration),
        };
        self.administration.run(vec![create]).await?;
        Ok(database)
    }
}

impl Drop for Databases {
    fn drop(&mut self) {
        if self.is_external {
            let administration = Arc::clone(&self.administration);
            // Another process drops the databases that remain.
            let drop_all = async move { administration.drop_all().await };
            self.administration.block_on(drop_all);
        }
        if let Some(runtime) = self.runtime.take() {
            // A runtime that waits for its tasks must not be dropped within another runtime.
            runtime.shutdown_background();
        }
    }
}

/// A database of one test. Dropping this value drops the database, even if it has connections.
#[derive(Debug)]
pub struct TestDatabase {
    name: String,
    url: String,
    administration: Arc<Administration>,
}

impl TestDatabase {
    /// Returns its name on the server.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns its URL, `postgres://…`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Opens a connection, driven by a task of the current runtime.
    ///
    /// # Panics
    ///
    /// Panics outside a tokio runtime.
    pub async fn client(&self) -> Result<Client, StackError> {
        let (client, connection) = tokio_postgres::connect(&self.url, NoTls)
            .await
            .map_err(StackError::database(format!("connect to {}", self.name)))?;
        tokio::spawn(connection);
        Ok(client)
    }

    /// Keeps the database and returns its name.
    fn keep(mut self) -> String {
        mem::take(&mut self.name)
    }
}

impl Drop for TestDatabase {
    /// Waits until the database is dropped, because the process may be about to exit, but not
    /// indefinitely, because the server may be stopped.
    fn drop(&mut self) {
        if !self.name.is_empty() {
            let statements = drop_statements(&self.name);
            let administration = Arc::clone(&self.administration);
            let drop_database = async move { administration.execute(&statements).await };
            self.administration.block_on(drop_database);
        }
    }
}

/// Returns the URL of another database on the same server.
fn with_database(url: &str, database: &str) -> Result<String, StackError> {
    let mut url = Url::parse(url).map_err(|_| StackError::DatabaseUrl)?;
    if !matches!(url.scheme(), "postgres" | "postgresql") || !url.has_host() {
        return Err(StackError::DatabaseUrl);
    }
    url.set_path(database);
    Ok(url.into())
}
