use std::io;
use std::sync::Arc;

use tokio::sync::Mutex;
use tokio_postgres::{Client, Error};

use crate::directory::random_number;
use crate::error::StackError;
use crate::runtime::{self, TIMEOUT};

/// The connection on which databases are created and dropped, one after the other.
///
/// It holds an advisory lock on `owner`, which is part of the name of each database,
/// `sovd_test_<owner>_<number>`. Databases whose owner is not locked belong to a process that was
/// killed. A lost connection is replaced by the next statement.
#[derive(Debug)]
pub(crate) struct Administration {
    pub(crate) url: String,
    owner: u64,
    client: Mutex<Option<Client>>,
}

impl Administration {
    pub(crate) fn new(url: String) -> Result<Self, StackError> {
        Ok(Self {
            url,
            owner: random_number()?,
            client: Mutex::default(),
        })
    }

    /// Returns the first part of the names of all its databases.
    pub(crate) fn prefix(&self) -> String {
        format!("sovd_test_{:016x}_", self.owner)
    }

    /// Executes the statements even if the caller is cancelled.
    pub(crate) async fn run(self: &Arc<Self>, statements: Vec<String>) -> Result<(), StackError> {
        let this = Arc::clone(self);
        let execution = runtime::spawn(async move { this.execute(&statements).await });
        execution.await.unwrap_or(Err(StackError::Ended))
    }

    /// Executes the statements one by one, up to the first that fails.
    pub(crate) async fn execute(&self, statements: &[String]) -> Result<(), StackError> {
        let mut client = self.client.lock().await;
        for statement in statements {
            let client = match &mut *client {
                Some(client) if !client.is_closed() => client,
                closed => closed.insert(self.connect().await?),
            };
            client
                .batch_execute(statement)
                .await
                .map_err(StackError::database(format!("run `{statement}`")))?;
        }
        Ok(())
    }

    async fn connect(&self) -> Result<Client, StackError> {
        let connecting = async {
            let client = runtime::connect(&self.url).await?;
            let lock = "SELECT pg_advisory_lock($1)";
            client.execute(lock, &[&self.owner.cast_signed()]).await?;
            drop_abandoned(&client).await?;
            Ok(client)
        };
        tokio::time::timeout(TIMEOUT, connecting)
            .await
            .map_err(|_| {
                StackError::io("connect to", "PostgreSQL")(io::ErrorKind::TimedOut.into())
            })?
            .map_err(StackError::database("connect to PostgreSQL"))
    }

    /// Drops all its databases. Another process drops those that remain.
    pub(crate) async fn drop_all(&self) -> Result<(), Error> {
        let condition = format!("starts_with(datname, '{}')", self.prefix());
        match &*self.client.lock().await {
            Some(client) => drop_databases(client, &condition, "WITH (FORCE)").await,
            None => Ok(()),
        }
    }
}

/// Drops the databases of processes that were killed.
///
/// A process locks its owner number before it creates its first database, and the query takes its
/// snapshot of `pg_database` before it reads `pg_locks`; so the lock of every listed database is
/// visible if its owner is alive. An owner that has just lost its connection keeps the databases
/// that are in use, because the drop is not forced. `objsubid` 1 marks keys of 64 bits.
async fn drop_abandoned(client: &Client) -> Result<(), Error> {
    const ABANDONED: &str = "
        datname ~ '^sovd_test_[0-9a-f]{16}_[0-9]+$' AND substr(datname, 11, 16) NOT IN (
            SELECT lpad(to_hex(classid::bigint), 8, '0') || lpad(to_hex(objid::bigint), 8, '0')
            FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1 AND granted)";
    drop_databases(client, ABANDONED, "").await
}

async fn drop_databases(client: &Client, condition: &str, option: &str) -> Result<(), Error> {
    let list = format!("SELECT datname FROM pg_database WHERE {condition}");
    for row in client.query(&list, &[]).await? {
        let name: String = row.try_get(0)?;
        let drop = format!("DROP DATABASE IF EXISTS {name} {option}");
        // Fails if the database is in use or another process drops it; both are expected.
        let _ = client.batch_execute(&drop).await;
    }
    Ok(())
}

/// Terminates the client sessions of a database and waits up to a second for their end. `FORCE`
/// also waits, but in steps of 100 ms, which would slow every test down. Only a superuser may
/// terminate the server's own workers, so they are left out.
pub(crate) fn terminate_sessions(name: &str) -> String {
    let sessions = format!(
        "FROM pg_stat_activity WHERE datname = '{name}' AND backend_type = 'client backend'"
    );
    format!(
        "DO $$ BEGIN \
           PERFORM pg_terminate_backend(pid) {sessions}; \
           FOR attempt IN 1..200 LOOP \
             PERFORM pg_stat_clear_snapshot(); \
             EXIT WHEN NOT EXISTS (SELECT {sessions}); \
             PERFORM pg_sleep(0.005); \
           END LOOP; \
         END $$"
    )
}
