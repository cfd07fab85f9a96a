use std::env;
use std::error::Error;
use std::sync::OnceLock;
use std::thread;

use crate::databases::Databases;
use crate::error::StackError;
use crate::find::SearchPath;
use crate::postgres::Postgres;
use crate::redis::Redis;
use crate::test_database::TestDatabase;

/// PostgreSQL and Redis, private or given.
///
/// Nothing in it belongs to a tokio runtime: tests that run each in its own can share one.
#[derive(Debug)]
pub struct Stack {
    database_url: String,
    redis_url: String,
    // Above the server, because it says goodbye to it.
    databases: Databases,
    postgres: Option<Postgres>,
    redis: Option<Redis>,
}

/// What a stack is made of.
#[derive(Clone, Debug)]
pub struct StackOptions {
    /// Where the servers are installed.
    pub search_path: SearchPath,
    /// Use this PostgreSQL (`postgres://…`, without TLS) and start none. Its user must be
    /// allowed to create databases.
    pub database_url: Option<String>,
    /// Use this Redis and start none.
    pub redis_url: Option<String>,
}

impl Stack {
    /// Starts what the environment does not give, see [`StackOptions::from_env`]. Blocks for
    /// about half a second.
    ///
    /// # Errors
    ///
    /// When a server is missing or does not start.
    pub fn start() -> Result<Self, StackError> {
        Self::start_with(StackOptions::from_env())
    }

    /// Starts what the options do not give.
    ///
    /// # Errors
    ///
    /// When a server is missing or does not start, and when `database_url` is no URL.
    pub fn start_with(options: StackOptions) -> Result<Self, StackError> {
        let StackOptions {
            search_path,
            database_url,
            redis_url,
        } = options;
        let (postgres, redis) = thread::scope(|scope| {
            let redis = scope.spawn(|| {
                redis_url
                    .is_none()
                    .then(|| Redis::start(&search_path))
                    .transpose()
            });
            let postgres = database_url
                .is_none()
                .then(|| Postgres::start(&search_path))
                .transpose();
            (postgres, redis.join().unwrap_or(Err(StackError::Ended)))
        });
        let (postgres, redis) = (postgres?, redis?);
        let database_url = database_url
            .or(postgres.as_ref().map(Postgres::url))
            .unwrap_or_default();
        let redis_url = redis_url
            .or(redis.as_ref().map(Redis::url))
            .unwrap_or_default();
        let databases = Databases::new(database_url.clone(), postgres.is_none())?;
        Ok(Self {
            database_url,
            redis_url,
            databases,
            postgres,
            redis,
        })
    }

    /// The stack of this process, started by the first caller and ended with the process. All
    /// callers share its success or failure.
    ///
    /// # Errors
    ///
    /// As [`Stack::start`].
    pub fn shared() -> Result<&'static Self, &'static StackError> {
        static SHARED: OnceLock<Result<Stack, StackError>> = OnceLock::new();
        SHARED.get_or_init(Self::start).as_ref()
    }

    /// The URL of PostgreSQL, with the database to connect to first.
    #[must_use]
    pub fn database_url(&self) -> &str {
        &self.database_url
    }

    /// The URL of Redis.
    #[must_use]
    pub fn redis_url(&self) -> &str {
        &self.redis_url
    }

    /// The private PostgreSQL; `None` when `database_url` was given.
    #[must_use]
    pub fn postgres(&self) -> Option<&Postgres> {
        self.postgres.as_ref()
    }

    /// The private Redis; `None` when `redis_url` was given.
    #[must_use]
    pub fn redis(&self) -> Option<&Redis> {
        self.redis.as_ref()
    }

    /// A database of the caller's own, copied from a template.
    ///
    /// The first call with a `key` runs `migrate` with the URL of an empty database, which then
    /// is the template of this and all later calls with that key. A failed migration is tried
    /// again by the next call. Connections that `migrate` leaves open are ended.
    ///
    /// # Errors
    ///
    /// When PostgreSQL does not answer, and when `migrate` fails.
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

    /// A database of the caller's own, without tables.
    ///
    /// # Errors
    ///
    /// When PostgreSQL does not answer.
    pub async fn empty_database(&self) -> Result<TestDatabase, StackError> {
        self.databases.empty().await
    }
}

impl StackOptions {
    /// `DATABASE_URL` and `REDIS_URL` where they are set and not empty, and the system's search
    /// path.
    #[must_use]
    pub fn from_env() -> Self {
        let given = |name| env::var(name).ok().filter(|url| !url.is_empty());
        Self {
            search_path: SearchPath::system(),
            database_url: given("DATABASE_URL"),
            redis_url: given("REDIS_URL"),
        }
    }
}

impl Default for StackOptions {
    /// Both servers private, whatever the environment says.
    fn default() -> Self {
        Self {
            search_path: SearchPath::system(),
            database_url: None,
            redis_url: None,
        }
    }
}
