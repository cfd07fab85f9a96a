//! Vehicles, and the database and journal that their servers share.

use std::{error::Error, fs, path::PathBuf, time::Duration};

use sovd_app::{Settings, migrate::Migrator};
use sovd_devstack::{Stack, TestDatabase};
use tempfile::TempDir;
use tokio::{
    process::Command,
    time::{Instant, sleep},
};

use crate::server::{Running, server};

/// Hashes the seeded password with bcrypt at cost 4, because a login at cost 12 takes a second.
const CHEAP_ENGINEER: &str = "
    UPDATE users SET password_hash = '$2b$04$KO8HgMxXotcuHip4uQbJS.s.YO/xUbfj2C0xrV2NR3qRLHvx8rgtu'
    WHERE username = 'engineer'";

/// Records every claim of a command whose lease expired, because the queue does not keep this information.
const RECORD_TAKEOVERS: &str = "
    CREATE TABLE takeovers (command_id UUID, status TEXT, send_count INTEGER, is_answered BOOLEAN);
    CREATE FUNCTION record_takeover() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        INSERT INTO takeovers
        SELECT command_id, status, OLD.send_count, OLD.is_answered
        FROM commands WHERE command_id = OLD.command_id;
        RETURN NULL;
    END $$;
    CREATE TRIGGER record_takeover AFTER UPDATE OF lease_id ON command_queue FOR EACH ROW
        WHEN (OLD.lease_id IS NOT NULL AND NEW.lease_id IS NOT NULL
              AND NEW.lease_id <> OLD.lease_id)
        EXECUTE FUNCTION record_takeover()";

const ADD_VEHICLES: &str = "
    INSERT INTO vehicles (vin, make, model, year, connection_status)
    SELECT 'CRASHTEST' || lpad(number::text, 8, '0'), 'Tesla', 'Model 3', 2023, 'disconnected'
    FROM generate_series(1, $1::bigint) AS number
    RETURNING vehicle_id::text";

impl Running {
    /// Returns the resident memory of the process in KiB.
    pub(crate) fn resident(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS"));
        let number = line.unwrap().split_whitespace().nth(1).unwrap();
        number.parse().unwrap()
    }
}

pub(crate) struct Fleet {
    pub(crate) sql: tokio_postgres::Client,
    database: TestDatabase,
    directory: TempDir,
}

impl Fleet {
    pub(crate) async fn new() -> Self {
        let stack = Stack::shared().unwrap();
        let database = stack.test_database("seeded", prepare).await.unwrap();
        let sql = database.client().await.unwrap();
        sql.batch_execute(CHEAP_ENGINEER).await.unwrap();
        sql.batch_execute(RECORD_TAKEOVERS).await.unwrap();
        Self {
            sql,
            database,
            directory: tempfile::tempdir().unwrap(),
        }
    }

    /// Returns the command that starts a server for this fleet.
    pub(crate) fn server(&self) -> Command {
        let mut server = server();
        server
            .env("DATABASE_URL", self.database.url())
            .env("REDIS_URL", Stack::shared().unwrap().redis_url())
            .env("SOVD__CONNECTOR__MOCK__JOURNAL", self.journal())
            .env("SOVD__CONNECTOR__MOCK__CHUNKS", "3");
        server
    }

    /// Adds disconnected vehicles and returns their ids.
    pub(crate) async fn vehicles(&self, count: i64) -> Vec<String> {
        let rows = self.sql.query(ADD_VEHICLES, &[&count]).await.unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    }

    /// Connects every vehicle.
    pub(crate) async fn connect(&self) {
        let connect = "UPDATE vehicles SET connection_status = 'connected'";
        self.sql.execute(connect, &[]).await.unwrap();
    }

    /// Returns the number that `query` selects.
    pub(crate) async fn count(&self, query: &str) -> i64 {
        self.sql.query_one(query, &[]).await.unwrap().get(0)
    }

    /// Waits until the number that `query` selects meets a condition.
    pub(crate) async fn wait_until(
        &self,
        query: &str,
        condition: impl Fn(i64) -> bool,
        deadline: Instant,
    ) {
        loop {
            let count = self.count(query).await;
            if condition(count) {
                return;
            }
            assert!(Instant::now() < deadline, "still {count}: {query}");
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// Returns the path of the journal, which records everything that was sent to the vehicles.
    pub(crate) fn journal(&self) -> PathBuf {
        self.directory.path().join("journal.jsonl")
    }
}

async fn prepare(url: &str) -> Result<(), Box<dyn Error + Send + Sync>> {
    let migrator = Migrator::new(&Settings::for_tests(url, None));
    migrator.wait(Duration::from_secs(10)).await?;
    migrator.up().await?;
    migrator.seed(false).await?;
    Ok(())
}
