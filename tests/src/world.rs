use std::{
    net::SocketAddr,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use reqwest::Method;
use sovd_app::{Application, Settings, Shutdown, StartError, migrate::Migrator};
use sovd_devstack::{Postgres, Stack, TestDatabase, connect, wait_for_blocked};
use tokio::{task::JoinHandle, time::sleep};
use tokio_postgres::types::ToSql;

use crate::{Client, within};

/// The connected vehicle of the seeds.
pub const CONNECTED: &str = "00000000-0000-0000-0000-000000000101";
/// The disconnected vehicle of the seeds.
pub const OFFLINE: &str = "00000000-0000-0000-0000-000000000102";
/// The connected vehicle of the seeds that the customer owns.
pub const OWNED: &str = "00000000-0000-0000-0000-000000000103";

/// The SQL condition that excludes the audit entries of [`World::wait_for_refusals`].
pub const NO_MARKER: &str = "coalesce(request_id, '') NOT LIKE 'marker-%'";

/// Hashes the seeded passwords with bcrypt at cost 4, because cost 12 would dominate the time of a test.
/// The second engineer has the password of the first.
const CHEAP_USERS: &str = "
    UPDATE users SET password_hash = '$2b$04$DZIGyIO2IatThzmNuDb/CuzkIJeQK9sttl3PZ3LomBkRcp9IAgUAy' WHERE username = 'admin';
    UPDATE users SET password_hash = '$2b$04$KO8HgMxXotcuHip4uQbJS.s.YO/xUbfj2C0xrV2NR3qRLHvx8rgtu' WHERE username = 'engineer';
    UPDATE users SET password_hash = '$2b$04$9taBlW1.jkKWQuqxgVHdK.VU6KQqdGxk8i8i0/zCCe55FKInCXYgu' WHERE username = 'customer';
    UPDATE users SET password_hash = '$2b$04$5OX4SqhHrTXSVcla.f/iTeOWhc4S60HYxJnZIA5hqpp5tYif9VLlq' WHERE username = 'service';
    UPDATE users SET password_hash = '$2b$04$7FL05qTJhhRQZ..ZiwvSpuRb1j8zomoz.yN4F8zrMhq9jsUC.7QjG' WHERE username = 'manufacturer';
    INSERT INTO users (username, email, password_hash, role)
    SELECT 'other', 'other@example.com', password_hash, role FROM users WHERE username = 'engineer'";

/// A running server with its own port and database.
pub struct World {
    address: SocketAddr,
    settings: Settings,
    shutdown: Shutdown,
    task: JoinHandle<Result<(), StartError>>,
    database: Option<TestDatabase>,
}

/// The options of a [`World`].
pub struct WorldOptions {
    /// The settings.
    pub settings: Settings,
    /// The database, which the server drops; `None` if another value owns it.
    pub database: Option<TestDatabase>,
}

impl WorldOptions {
    /// Returns settings for tests, a seeded database, and the Redis that all tests share.
    pub async fn new() -> Self {
        let stack = Stack::shared().unwrap();
        let database = stack.test_database("seeded", prepare).await.unwrap();
        Self {
            settings: unique_settings(database.url()),
            database: Some(database),
        }
    }

    /// Returns options with a PostgreSQL that the test may stop.
    pub async fn on(postgres: &Postgres) -> Self {
        let url = postgres.url();
        prepare(&url).await.unwrap();
        Self {
            settings: unique_settings(&url),
            database: None,
        }
    }

    /// Starts the server.
    pub async fn start(self) -> World {
        let settings = self.settings;
        let application = Application::build(settings.clone()).await.unwrap();
        let address = application.addresses()[0];
        let shutdown = Shutdown::new();
        let task = tokio::spawn(application.run(shutdown.clone()));
        World {
            address,
            settings,
            shutdown,
            task,
            database: self.database,
        }
    }
}

/// Returns settings with a unique key prefix, because all tests share one Redis.
fn unique_settings(database_url: &str) -> Settings {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let redis_url = Stack::shared().unwrap().redis_url();
    let mut settings = Settings::for_tests(database_url, Some(redis_url));
    settings.redis.key_prefix = format!("test-{}-{number}", std::process::id());
    settings
}

impl World {
    /// Starts a server with settings for tests.
    pub async fn start() -> Self {
        WorldOptions::new().await.start().await
    }

    /// Starts a server with changed settings.
    pub async fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let mut options = WorldOptions::new().await;
        change(&mut options.settings);
        options.start().await
    }

    /// Starts another server with the same database and changed settings. This one must outlive it.
    pub async fn beside(&self, change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = self.settings.clone();
        change(&mut settings);
        let options = WorldOptions {
            settings,
            database: None,
        };
        options.start().await
    }

    /// Returns the address of the server.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Opens a connection to the database.
    pub async fn sql(&self) -> tokio_postgres::Client {
        self.database.as_ref().unwrap().client().await.unwrap()
    }

    /// Waits until the detection of anomalies has read every complete response.
    pub async fn wait_for_detection(&self) {
        let all_read = "SELECT count(*) = 0 FROM detection_jobs";
        self.wait_until("the detection of anomalies", all_read, &[])
            .await;
    }

    /// Waits until the audit trail contains every refusal so far. Refusals are written in order, so this
    /// sends one more and waits for its entry, which [`NO_MARKER`] excludes.
    pub async fn wait_for_refusals(&self) {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let marker = format!("marker-{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let forger = self.with_token("forged");
        let request = forger
            .request(Method::GET, "/api/v1/vehicles")
            .header("x-request-id", &marker);
        let reply = forger.send(request).await;
        reply.expect_problem(401, "token_invalid");
        let is_audited = "SELECT count(*) > 0 FROM audit_logs WHERE request_id = $1";
        self.wait_until("refusals to be audited", is_audited, &[&marker])
            .await;
    }

    /// Waits until the query returns true.
    async fn wait_until(&self, event: &str, query: &str, parameters: &[&(dyn ToSql + Sync)]) {
        let sql = self.sql().await;
        let polling = async {
            let holds = async || sql.query_one(query, parameters).await.unwrap().get(0);
            while !holds().await {
                sleep(Duration::from_millis(5)).await;
            }
        };
        within(event, polling).await;
    }

    /// Waits until at least `count` transactions of the database wait for a lock.
    pub async fn wait_until_blocked(&self, count: i64) {
        wait_for_blocked(&self.sql().await, count).await;
    }

    /// Returns an unauthenticated client.
    pub fn anonymous(&self) -> Client {
        Client::new(self.address)
    }

    /// A client with an access token or API key.
    pub fn with_token(&self, token: &str) -> Client {
        let mut client = self.anonymous();
        client.token = Some(token.to_owned());
        client
    }

    /// The audit entries of an action, oldest first.
    pub async fn audit_entries(&self, action: &str) -> Vec<serde_json::Value> {
        let sql = "SELECT to_jsonb(audit_logs) FROM audit_logs WHERE action = $1
                   ORDER BY timestamp, log_id";
        let rows = self.sql().await.query(sql, &[&action]).await.unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    }

    /// A client that is logged in; the password is the user name's with `123`.
    pub async fn log_in(&self, username: &str) -> Client {
        let known_as = if username == "other" {
            "engineer"
        } else {
            username
        };
        let mut client = self.anonymous();
        client.log_in(username, &format!("{known_as}123")).await;
        client
    }

    /// Requests the shutdown without waiting for it.
    pub fn stop(&self) {
        self.shutdown.stop();
    }

    /// Stops the server and returns its database for another.
    pub async fn stop_and_keep_database(mut self) -> TestDatabase {
        let database = self.database.take().unwrap();
        self.stop();
        self.stopped().await.unwrap();
        database
    }

    /// Waits until the server has stopped.
    ///
    /// # Errors
    ///
    /// The failure that ended the server.
    pub async fn stopped(self) -> Result<(), StartError> {
        within("the server to stop", self.task).await.unwrap()
    }
}

async fn prepare(url: &str) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let migrator = Migrator::new(&Settings::for_tests(url, None));
    migrator.wait(Duration::from_secs(10)).await?;
    migrator.up().await?;
    migrator.seed(false).await?;
    connect(url).await?.batch_execute(CHEAP_USERS).await?;
    Ok(())
}
