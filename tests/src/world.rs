use std::{
    net::SocketAddr,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use reqwest::Method;
use sovd_app::{Application, Settings, Shutdown, StartError, migrate::Migrator};
use sovd_devstack::{Postgres, Stack, TestDatabase};
use tokio::{task::JoinHandle, time::sleep};

use crate::{Client, within};

/// The vehicle of the seeds that commands reach.
pub const CONNECTED: &str = "00000000-0000-0000-0000-000000000101";
/// The vehicle of the seeds that they do not.
pub const OFFLINE: &str = "00000000-0000-0000-0000-000000000102";

/// The vehicle of the seeds that belongs to the customer; commands reach it.
pub const OWNED: &str = "00000000-0000-0000-0000-000000000103";

/// The SQL condition that leaves out what [`World::refusals_written`] sends.
pub const NO_MARKER: &str = "coalesce(request_id, '') NOT LIKE 'marker-%'";

/// bcrypt at cost 4 of the seeds' passwords, because cost 12 would be most of a test's time.
/// A second engineer has the first one's.
const CHEAP_USERS: &str = "
    UPDATE users SET password_hash = '$2b$04$DZIGyIO2IatThzmNuDb/CuzkIJeQK9sttl3PZ3LomBkRcp9IAgUAy' WHERE username = 'admin';
    UPDATE users SET password_hash = '$2b$04$KO8HgMxXotcuHip4uQbJS.s.YO/xUbfj2C0xrV2NR3qRLHvx8rgtu' WHERE username = 'engineer';
    UPDATE users SET password_hash = '$2b$04$9taBlW1.jkKWQuqxgVHdK.VU6KQqdGxk8i8i0/zCCe55FKInCXYgu' WHERE username = 'customer';
    UPDATE users SET password_hash = '$2b$04$5OX4SqhHrTXSVcla.f/iTeOWhc4S60HYxJnZIA5hqpp5tYif9VLlq' WHERE username = 'service';
    UPDATE users SET password_hash = '$2b$04$7FL05qTJhhRQZ..ZiwvSpuRb1j8zomoz.yN4F8zrMhq9jsUC.7QjG' WHERE username = 'manufacturer';
    INSERT INTO users (username, email, password_hash, role)
    SELECT 'other', 'other@example.com', password_hash, role FROM users WHERE username = 'engineer'";

/// The whole program, serving on a port of its own from a database of its own.
pub struct World {
    address: SocketAddr,
    settings: Settings,
    shutdown: Shutdown,
    serving: JoinHandle<Result<(), StartError>>,
    database: Option<TestDatabase>,
}

/// What a world is made of.
pub struct WorldOptions {
    /// The settings, to be changed before the start.
    pub settings: Settings,
    database: Option<TestDatabase>,
}

impl WorldOptions {
    /// Fast settings, a seeded database, and the Redis that all tests share.
    pub async fn new() -> Self {
        let stack = Stack::shared().unwrap();
        let database = stack.test_database("seeded", prepare).await.unwrap();
        let mut settings = Settings::for_tests(database.url(), Some(stack.redis_url()));
        settings.redis.key_prefix = own_prefix();
        Self {
            settings,
            database: Some(database),
        }
    }

    /// The same on a PostgreSQL that the test may stop.
    pub async fn on(postgres: &Postgres) -> Self {
        let url = postgres.url();
        prepare(&url).await.unwrap();
        let redis_url = Stack::shared().unwrap().redis_url();
        let mut settings = Settings::for_tests(&url, Some(redis_url));
        settings.redis.key_prefix = own_prefix();
        Self {
            settings,
            database: None,
        }
    }

    /// Other settings for a database that a stopped program left.
    pub fn again(settings: Settings, database: TestDatabase) -> Self {
        Self {
            settings,
            database: Some(database),
        }
    }

    /// Starts the program.
    pub async fn start(self) -> World {
        let settings = self.settings;
        let application = Application::build(settings.clone()).await.unwrap();
        let address = application.addresses()[0];
        let shutdown = Shutdown::new();
        let serving = tokio::spawn(application.run(shutdown.clone()));
        World {
            address,
            settings,
            shutdown,
            serving,
            database: self.database,
        }
    }
}

/// A prefix that no other test has, because all share one Redis.
fn own_prefix() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("test-{}-{number}", std::process::id())
}

impl World {
    /// The program with fast settings.
    pub async fn start() -> Self {
        WorldOptions::new().await.start().await
    }

    /// The program with settings that `change` changed.
    pub async fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let mut options = WorldOptions::new().await;
        change(&mut options.settings);
        options.start().await
    }

    /// Another process on the same database, with settings that `change` changed. This one must
    /// outlive it.
    pub async fn beside(&self, change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = self.settings.clone();
        change(&mut settings);
        let options = WorldOptions {
            settings,
            database: None,
        };
        options.start().await
    }

    /// Where it serves.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A connection to its database.
    pub async fn sql(&self) -> tokio_postgres::Client {
        self.database.as_ref().unwrap().client().await.unwrap()
    }

    /// Waits until somebody has looked for anomalies in every answer that is complete.
    pub async fn looked_through(&self) {
        let sql = self.sql().await;
        let looking = async {
            let unread = "SELECT count(*) FROM detection_jobs";
            while sql.query_one(unread, &[]).await.unwrap().get::<_, i64>(0) > 0 {
                sleep(Duration::from_millis(5)).await;
            }
        };
        within("somebody to look for anomalies", looking).await;
    }

    /// Waits until the audit trail contains every refusal so far. They are written in order, so this sends
    /// one more and waits for it; [`NO_MARKER`] leaves it out.
    pub async fn refusals_written(&self) {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let marker = format!("marker-{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let mut forger = self.stranger();
        forger.token = Some("forged".to_owned());
        let request = forger
            .request(Method::GET, "/api/v1/vehicles")
            .header("x-request-id", &marker);
        let reply = forger.send(request).await;
        reply.expect_problem(401, "token_invalid");
        let sql = "SELECT count(*) FROM audit_logs WHERE request_id = $1";
        let client = self.sql().await;
        within("refusals to be audited", async {
            while client
                .query_one(sql, &[&marker])
                .await
                .unwrap()
                .get::<_, i64>(0)
                == 0
            {
                sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
    }

    /// Waits until so many transactions of its database wait for the locks of others.
    pub async fn until_waiting(&self, count: i64) {
        let sql = "SELECT count(*) FROM pg_stat_activity
                   WHERE datname = current_database() AND wait_event_type = 'Lock'";
        let client = self.sql().await;
        within("transactions to wait", async {
            while client.query_one(sql, &[]).await.unwrap().get::<_, i64>(0) < count {}
        })
        .await;
    }

    /// A client that nobody knows.
    pub fn stranger(&self) -> Client {
        Client::new(self.address)
    }

    /// A client that is logged in; the password is the user name's with `123`.
    pub async fn log_in(&self, username: &str) -> Client {
        let named = if username == "other" {
            "engineer"
        } else {
            username
        };
        let mut client = self.stranger();
        client.log_in(username, &format!("{named}123")).await;
        client
    }

    /// Asks it to stop, without waiting.
    pub fn stop(&self) {
        self.shutdown.stop();
    }

    /// Stops it and gives back its database, for another program to go on with.
    pub async fn stop_for_restart(mut self) -> TestDatabase {
        let database = self.database.take().unwrap();
        self.stop();
        self.stopped().await.unwrap();
        database
    }

    /// Waits until it has stopped.
    ///
    /// # Errors
    ///
    /// Why it could not go on.
    pub async fn stopped(self) -> Result<(), StartError> {
        within("the program to stop", self.serving).await.unwrap()
    }
}

async fn prepare(url: &str) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let migrator = Migrator::new(&Settings::for_tests(url, None));
    migrator.wait(Duration::from_secs(10)).await?;
    migrator.up().await?;
    migrator.seed(false).await?;
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await?;
    let driver = tokio::spawn(connection);
    client.batch_execute(CHEAP_USERS).await?;
    drop(client);
    driver.await??;
    Ok(())
}
