use std::env;
use std::error::Error;
use std::sync::OnceLock;

use crate::databases::{Databases, TestDatabase};
use crate::error::StackError;
use crate::postgres::Postgres;
use crate::redis::Redis;
use crate::search_path::SearchPath;

/// PostgreSQL and Redis, private or external.
///
/// A stack does not belong to a tokio runtime, so tests with one runtime each can share it.
#[derive(Debug)]
pub struct Stack {
    database_url: String,
    redis_url: String,
    // Dropped before the server that it is connected to.
    databases: Databases,
    postgres: Option<Postgres>,
    redis: Option<Redis>,
}

/// The external servers of a stack. The default is none: both servers are private.
#[derive(Clone, Debug, Default)]
pub struct StackOptions {
    /// The URL of an external PostgreSQL (`postgres://…`, without TLS). Its user must be allowed to
    /// create databases.
    pub database_url: Option<String>,
    /// The URL of an external Redis.
    pub redis_url: Option<String>,
}

impl Stack {
    /// Starts the servers that the environment does not name; see [`StackOptions::from_env`].
    /// Blocks for about half a second.
    pub fn start() -> Result<Self, StackError> {
        Self::start_with(StackOptions::from_env())
    }

    /// Starts the servers that the options do not name.
    pub fn start_with(options: StackOptions) -> Result<Self, StackError> {
        let search_path = SearchPath::system();
        let (redis_url, redis) = match options.redis_url {
            Some(url) => (url, None),
            None => Redis::start(&search_path).map(|redis| (redis.url(), Some(redis)))?,
        };
        let (database_url, postgres) = match options.database_url {
            Some(url) => (url, None),
            None => Postgres::start(&search_path).map(|server| (server.url(), Some(server)))?,
        };
        let databases = Databases::new(database_url.clone(), postgres.is_none())?;
        Ok(Self {
            database_url,
            redis_url,
            databases,
            postgres,
            redis,
        })
    }

    /// Returns the stack of this process, which the first call starts. It ends with the process.
    pub fn shared() -> Result<&'static Self, &'static StackError> {
        static SHARED: OnceLock<Result<Stack, StackError>> = OnceLock::new();
        SHARED.get_or_init(Self::start).as_ref()
    }

    /// Returns the URL of PostgreSQL with the database to connect to first.
    pub fn database_url(&self) -> &str {
        &self.database_url
    }

    /// Returns the URL of Redis.
    pub fn redis_url(&self) -> &str {
        &self.redis_url
    }

    /// Returns the private PostgreSQL.
    pub fn postgres(&self) -> Option<&Postgres> {
        self.postgres.as_ref()
    }

    /// Returns the private Redis.
    pub fn redis(&self) -> Option<&Redis> {
        self.redis.as_ref()
    }

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
        self.databases.migrated(key, migrate).await
    }

    /// Creates a database without tables.
    pub async fn empty_database(&self) -> Result<TestDatabase, StackError> {
        self.databases.empty().await
    }
}

impl StackOptions {
    /// Returns the values of `DATABASE_URL` and `REDIS_URL`, as far as they are set and not empty.
    pub fn from_env() -> Self {
        let value = |name| env::var(name).ok().filter(|url| !url.is_empty());
        Self {
            database_url: value("DATABASE_URL"),
            redis_url: value("REDIS_URL"),
        }
    }
}
