use std::env;
use std::sync::OnceLock;

use crate::databases::Databases;
use crate::error::StackError;
use crate::postgres::Postgres;
use crate::redis::Redis;
use crate::search_path::SearchPath;

/// PostgreSQL and Redis, private or external.
///
/// A stack does not belong to a tokio runtime, so tests with one runtime each can share it.
#[derive(Debug)]
pub struct Stack {
    redis_url: String,
    // Dropped before the server that it is connected to.
    pub(crate) databases: Databases,
    postgres: Option<Postgres>,
    redis: Option<Redis>,
}

impl Stack {
    /// Starts the servers that `DATABASE_URL` and `REDIS_URL` do not name. Blocks for about half a
    /// second.
    pub fn start() -> Result<Self, StackError> {
        let url = |name| env::var(name).ok().filter(|url| !url.is_empty());
        Self::start_beside(url("DATABASE_URL"), url("REDIS_URL"))
    }

    /// Starts the servers whose URLs are `None`; the others are external. The user of an external
    /// PostgreSQL (`postgres://…`, without TLS) must be allowed to create databases.
    pub fn start_beside(
        database_url: Option<String>,
        redis_url: Option<String>,
    ) -> Result<Self, StackError> {
        let search_path = SearchPath::system();
        let (redis_url, redis) = match redis_url {
            Some(url) => (url, None),
            None => Redis::start(&search_path).map(|redis| (redis.url(), Some(redis)))?,
        };
        let (database_url, postgres) = match database_url {
            Some(url) => (url, None),
            None => Postgres::start(&search_path).map(|server| (server.url(), Some(server)))?,
        };
        let databases = Databases::new(database_url, postgres.is_none())?;
        Ok(Self {
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
        self.databases.url()
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
}
