use std::collections::HashMap;
use std::error::Error;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Mutex;
use tokio_postgres::Client;
use url::Url;

use crate::administration::{Administration, terminate_sessions};
use crate::error::StackError;
use crate::runtime;
use crate::stack::Stack;

/// Test databases on one server, and the templates they are copied from.
#[derive(Debug)]
pub(crate) struct Databases {
    administration: Arc<Administration>,
    /// The name of each migrated template database by its key.
    templates: Mutex<HashMap<String, String>>,
    count: AtomicU64,
    is_external: bool,
}

impl Stack {
    /// Creates a database as a copy of a template.
    ///
    /// The first call with a `key` passes the URL of an empty database to `migrate`; that database
    /// becomes the template of all calls with the same key. If `migrate` fails, the next call runs
    /// its own. Connections that `migrate` leaves open are terminated.
    pub async fn test_database<E>(
        &self,
        key: &str,
        migrate: impl AsyncFnOnce(&str) -> Result<(), E>,
    ) -> Result<TestDatabase, StackError>
    where
        E: Into<Box<dyn Error + Send + Sync>>,
    {
        let mut templates = self.databases.templates.lock().await;
        let name = if let Some(name) = templates.get(key) {
            name.clone()
        } else {
            let database = self.empty_database().await?;
            let migrated = migrate(database.url()).await;
            migrated.map_err(|error| StackError::Migration {
                key: key.to_owned(),
                source: error.into(),
            })?;
            let name = database.into_template().await?;
            templates.insert(key.to_owned(), name.clone());
            name
        };
        drop(templates);
        self.databases.copy(&name).await
    }

    /// Creates a database without tables.
    pub async fn empty_database(&self) -> Result<TestDatabase, StackError> {
        // `template0` accepts no connections, so none can prevent a copy.
        self.databases.copy("template0").await
    }
}

impl Databases {
    /// The databases on an external server are dropped with this value; a private server is removed
    /// with all its data.
    pub(crate) fn new(url: String, is_external: bool) -> Result<Self, StackError> {
        with_database(&url, "")?;
        Ok(Self {
            administration: Arc::new(Administration::new(url)?),
            templates: Mutex::default(),
            count: AtomicU64::new(0),
            is_external,
        })
    }

    pub(crate) fn url(&self) -> &str {
        &self.administration.url
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
            runtime::block_on(async move { administration.drop_all().await });
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
        let connected = runtime::connect(&self.url).await;
        connected.map_err(StackError::database(format!("connect to {}", self.name)))
    }

    /// Keeps the database and returns its name.
    ///
    /// PostgreSQL cannot copy a database that has connections, and a migration may leave one that
    /// closes later. So the template refuses connections, and the remaining ones are terminated.
    async fn into_template(mut self) -> Result<String, StackError> {
        let close = vec![
            format!("ALTER DATABASE {} ALLOW_CONNECTIONS false", self.name),
            terminate_sessions(&self.name),
        ];
        self.administration.run(close).await?;
        Ok(mem::take(&mut self.name))
    }
}

impl Drop for TestDatabase {
    /// Waits until the database is dropped, because the process may be about to exit, but not
    /// indefinitely, because the server may be stopped.
    fn drop(&mut self) {
        if !self.name.is_empty() {
            let drop = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name);
            let statements = [terminate_sessions(&self.name), drop];
            let administration = Arc::clone(&self.administration);
            runtime::block_on(async move { administration.execute(&statements).await });
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn with_database_changes_only_the_database() {
        for (url, expected) in [
            (
                "postgres://u:p@db:5433/x?a=b",
                "postgres://u:p@db:5433/y?a=b",
            ),
            ("postgresql://db/x", "postgresql://db/y"),
            ("postgres://db", "postgres://db/y"),
            ("postgres://db?a=b", "postgres://db/y?a=b"),
        ] {
            assert_eq!(with_database(url, "y").unwrap(), expected);
        }
    }
}
