//! Vehicles, and the database and the journal that the servers who drive them share.

use std::{error::Error, path::PathBuf, time::Duration};

use sovd_app::{Settings, migrate::Migrator};
use sovd_devstack::{Stack, TestDatabase};
use tempfile::TempDir;
use tokio::{
    process::Command,
    time::{Instant, sleep},
};

use crate::server::server;

/// bcrypt at cost 4 of the seeded password: at cost 12 a log-in takes a second.
const CHEAP_ENGINEER: &str = "
    UPDATE users SET password_hash = '$2b$04$KO8HgMxXotcuHip4uQbJS.s.YO/xUbfj2C0xrV2NR3qRLHvx8rgtu'
    WHERE username = 'engineer'";

/// Notes every claim of a task whose holder did not come back: a lease does not say whose it was,
/// and nothing is left of it afterwards.
const NOTE_TAKEOVERS: &str = "
    CREATE TABLE takeovers (command_id UUID, status TEXT, send_count INTEGER, is_answered BOOLEAN);
    CREATE FUNCTION note_takeover() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        INSERT INTO takeovers
        SELECT command_id, status, OLD.send_count, OLD.is_answered
        FROM commands WHERE command_id = OLD.command_id;
        RETURN NULL;
    END $$;
    CREATE TRIGGER note_takeover AFTER UPDATE OF lease_id ON command_queue FOR EACH ROW
        WHEN (OLD.lease_id IS NOT NULL AND NEW.lease_id IS NOT NULL
              AND NEW.lease_id <> OLD.lease_id)
        EXECUTE FUNCTION note_takeover()";

const ADD_VEHICLES: &str = "
    INSERT INTO vehicles (vin, make, model, year, connection_status)
    SELECT 'CRASHTEST' || lpad(number::text, 8, '0'), 'Tesla', 'Model 3', 2023, 'disconnected'
    FROM generate_series(1, $1::bigint) AS number
    RETURNING vehicle_id::text";

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
        sql.batch_execute(NOTE_TAKEOVERS).await.unwrap();
        Self {
            sql,
            database,
            directory: tempfile::tempdir().unwrap(),
        }
    }

    /// A server for this fleet, to be changed before its start.
    pub(crate) fn server(&self) -> Command {
        let mut server = server();
        server
            .env("DATABASE_URL", self.database.url())
            .env("REDIS_URL", Stack::shared().unwrap().redis_url())
            .env("SOVD__CONNECTOR__MOCK__JOURNAL", self.journal())
            .env("SOVD__CONNECTOR__MOCK__CHUNKS", "3");
        server
    }

    /// Adds so many vehicles that are not connected; gives their ids.
    pub(crate) async fn vehicles(&self, count: i64) -> Vec<String> {
        let rows = self.sql.query(ADD_VEHICLES, &[&count]).await.unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    }

    /// Lets every vehicle come back, and with it what waits for it.
    pub(crate) async fn connect(&self) {
        let connect = "UPDATE vehicles SET connection_status = 'connected'";
        self.sql.execute(connect, &[]).await.unwrap();
    }

    /// The one number that `query` gives.
    pub(crate) async fn count(&self, query: &str) -> i64 {
        self.sql.query_one(query, &[]).await.unwrap().get(0)
    }

    /// Asks until it is so of the one number that `query` gives: nothing announces it.
    pub(crate) async fn until(&self, query: &str, is_so: impl Fn(i64) -> bool, deadline: Instant) {
        loop {
            let count = self.count(query).await;
            if is_so(count) {
                return;
            }
            assert!(Instant::now() < deadline, "still {count}: {query}");
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// The file with all that was sent to the vehicles.
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
