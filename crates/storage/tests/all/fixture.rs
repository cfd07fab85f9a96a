use std::{ops::DerefMut, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use sovd_devstack::{Stack, TestDatabase};
use sovd_domain::{Command, CommandId, CommandStatus, Listing, Page, UserId, VehicleId};
use sovd_storage::{
    Connection, Database, PoolSettings,
    commands::{
        self,
        queue::{self, NewEntry},
    },
    migrations::{self, Steps},
};
use tokio_postgres::Client;
use uuid::Uuid;

/// When the commands of [`Fleet::submit`] expire, as an argument of [`at`].
pub(crate) const EXPIRY: i64 = 3600;

/// A migrated database with one engineer, a pool and a plain client.
pub(crate) struct Fleet {
    pub(crate) pool: Database,
    pub(crate) client: Client,
    pub(crate) engineer: UserId,
    database: TestDatabase,
}

impl Fleet {
    pub(crate) async fn new() -> Self {
        Self::with_pool(PoolSettings {
            size: 1,
            overflow: 29,
            checkout_timeout: Duration::from_secs(10),
            statement_timeout: Duration::from_secs(30),
        })
        .await
    }

    pub(crate) async fn with_pool(settings: PoolSettings) -> Self {
        let database = migrated().await;
        let client = database.client().await.unwrap();
        let pool = Database::new(database.url(), settings);
        let engineer = add_user(&client, "engineer").await;
        Self {
            pool,
            client,
            engineer,
            database,
        }
    }

    pub(crate) fn url(&self) -> &str {
        self.database.url()
    }

    /// Reverts the migration of this name, such as `commands`, and all later ones.
    pub(crate) async fn down_before(&self, migration: &str) {
        let states = migrations::status(self.url()).await.unwrap();
        let later = states
            .iter()
            .skip_while(|state| {
                state
                    .name
                    .split_once('_')
                    .is_none_or(|(_, name)| name != migration)
            })
            .count();
        assert!(later > 0);
        migrations::down(self.url(), Steps::Count(later))
            .await
            .unwrap();
    }

    pub(crate) async fn another_client(&self) -> Client {
        self.database.client().await.unwrap()
    }

    pub(crate) async fn connection(&self) -> impl DerefMut<Target = Connection> + use<> {
        self.pool.connection().await.unwrap()
    }

    pub(crate) async fn user(&self, name: &str) -> UserId {
        add_user(&self.client, name).await
    }

    /// Adds a connected vehicle.
    pub(crate) async fn vehicle(&self, vin: &str) -> VehicleId {
        let sql = "INSERT INTO vehicles (vin, make, model, year, connection_status)
                   VALUES ($1, 'BMW', 'X5', 2022, 'connected') RETURNING vehicle_id";
        let row = self.client.query_one(sql, &[&vin]).await.unwrap();
        VehicleId(row.get(0))
    }

    pub(crate) async fn set_status(&self, vehicle: VehicleId, status: &str) {
        let sql = "UPDATE vehicles SET connection_status = $2 WHERE vehicle_id = $1";
        let changed = self.client.execute(sql, &[&vehicle.0, &status]).await;
        assert_eq!(changed.unwrap(), 1);
    }

    /// Stores a command of the engineer and queues it, due immediately until [`EXPIRY`].
    pub(crate) async fn submit(&self, number: u128, vehicle: VehicleId) -> CommandId {
        let command = command(number, self.engineer, vehicle, at(0));
        self.store(&command).await;
        let entry = NewEntry {
            command_id: command.command_id,
            vehicle_id: vehicle,
            due_at: at(0),
            expires_at: at(EXPIRY),
            skip_evidence: false,
        };
        let mut connection = self.connection().await;
        queue::push(&mut connection, &entry).await.unwrap();
        command.command_id
    }

    /// Returns the command's row in the queue as JSON.
    pub(crate) async fn queued(&self, command_id: CommandId) -> Value {
        let sql = "SELECT to_jsonb(command_queue) FROM command_queue WHERE command_id = $1";
        let row = self.client.query_one(sql, &[&command_id.0]).await;
        row.unwrap().get(0)
    }

    pub(crate) async fn store(&self, command: &Command) {
        commands::insert(&mut *self.connection().await, command)
            .await
            .unwrap();
    }

    pub(crate) async fn stored(&self, command_id: CommandId) -> Command {
        commands::find(&mut *self.connection().await, command_id, None)
            .await
            .unwrap()
            .unwrap()
    }

    pub(crate) async fn count(&self, table: &str) -> i64 {
        let sql = format!("SELECT count(*) FROM {table}");
        self.client.query_one(&sql, &[]).await.unwrap().get(0)
    }
}

/// Returns a database with every migration.
pub(crate) async fn migrated() -> TestDatabase {
    let stack = Stack::shared().unwrap();
    stack
        .test_database("migrated", async |url| {
            migrations::up(url).await.map(|_| ())
        })
        .await
        .unwrap()
}

/// Returns a fixed time plus `seconds`.
pub(crate) fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000, 0).unwrap() + TimeDelta::seconds(seconds)
}

/// Returns a pending command that expires one hour after `submitted_at`.
pub(crate) fn command(
    number: u128,
    user_id: UserId,
    vehicle_id: VehicleId,
    submitted_at: DateTime<Utc>,
) -> Command {
    Command {
        command_id: CommandId(Uuid::from_u128(number)),
        user_id,
        vehicle_id,
        command_name: "ReadDTC".to_owned(),
        command_params: json!({"ecuAddress": "0x10"}),
        status: CommandStatus::Pending,
        failure_kind: None,
        error_message: None,
        submitted_at,
        started_at: None,
        completed_at: None,
        expires_at: submitted_at + TimeDelta::seconds(EXPIRY),
        finding: None,
    }
}

pub(crate) fn page<K>(limit: i64, offset: i64) -> Page<K> {
    Page::new(Some(limit), Some(offset)).unwrap()
}

/// Returns the items and the total of a page.
pub(crate) fn counted<T>(listing: Listing<T>) -> (Vec<T>, i64) {
    (listing.items, listing.total)
}

async fn add_user(client: &Client, name: &str) -> UserId {
    let sql = "INSERT INTO users (username, email, password_hash, role)
               VALUES ($1::text, $1 || '@example.com', 'hash of ' || $1, 'engineer') RETURNING user_id";
    UserId(client.query_one(sql, &[&name]).await.unwrap().get(0))
}
