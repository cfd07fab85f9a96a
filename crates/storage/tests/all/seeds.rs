use serde_json::{Value, json};
use sovd_devstack::{Stack, TestDatabase};
use sovd_storage::seeds;
use tokio_postgres::Client;

use crate::{
    catalogue,
    fleet::{Fleet, migrated},
};

/// Every seeded user and vehicle as JSON.
async fn rows(client: &Client) -> Value {
    let sql = "SELECT jsonb_build_array(
                   (SELECT jsonb_agg(users ORDER BY user_id) FROM users),
                   (SELECT jsonb_agg(vehicles ORDER BY vehicle_id) FROM vehicles))";
    client.query_one(sql, &[]).await.unwrap().get(0)
}

async fn seeded() -> (TestDatabase, Client) {
    let database = migrated().await;
    let client = database.client().await.unwrap();
    seeds::insert(database.url()).await.unwrap();
    (database, client)
}

#[tokio::test]
async fn the_demonstration_starts_from_known_users_and_vehicles() {
    let (_database, client) = seeded().await;
    let sql = "SELECT jsonb_agg(jsonb_build_array(user_id, username, email, role) ORDER BY user_id)
               FROM users WHERE username IN ('admin', 'engineer')";
    let users: Value = client.query_one(sql, &[]).await.unwrap().get(0);
    let expected = json!([
        [
            "00000000-0000-0000-0000-000000000001",
            "admin",
            "admin@sovd.example.com",
            "admin"
        ],
        [
            "00000000-0000-0000-0000-000000000002",
            "engineer",
            "engineer@sovd.example.com",
            "engineer"
        ],
    ]);
    assert_eq!(users, expected);
    let sql = "SELECT jsonb_agg(jsonb_build_array(
                   vehicle_id, vin, make, model, year, connection_status) ORDER BY vehicle_id)
               FROM vehicles WHERE vin LIKE 'TESTVIN%'";
    let vehicles: Value = client.query_one(sql, &[]).await.unwrap().get(0);
    let expected = json!([
        [
            "00000000-0000-0000-0000-000000000101",
            "TESTVIN0000000001",
            "Tesla",
            "Model 3",
            2023,
            "connected"
        ],
        [
            "00000000-0000-0000-0000-000000000102",
            "TESTVIN0000000002",
            "BMW",
            "X5",
            2022,
            "disconnected"
        ],
    ]);
    assert_eq!(vehicles, expected);
}

#[tokio::test]
async fn seeding_twice_changes_nothing() {
    let (database, client) = seeded().await;
    let before = rows(&client).await;
    seeds::insert(database.url()).await.unwrap();
    assert_eq!(rows(&client).await, before);
}

#[tokio::test]
async fn a_changed_seed_stays_changed() {
    let (database, client) = seeded().await;
    client
        .batch_execute(
            "UPDATE users SET email = 'root@example.com', password_hash = 'x'
                 WHERE username = 'admin';
             UPDATE vehicles SET vin = 'RENAMED' WHERE vin = 'TESTVIN0000000001'",
        )
        .await
        .unwrap();
    let before = rows(&client).await;
    seeds::insert(database.url()).await.unwrap();
    assert_eq!(rows(&client).await, before);
}

#[tokio::test]
async fn somebody_who_has_a_seed_s_name_keeps_it() {
    let fleet = Fleet::new().await;
    seeds::insert(fleet.url()).await.unwrap();
    let sql = "SELECT user_id FROM users WHERE username = 'engineer'";
    let row = fleet.client.query_one(sql, &[]).await.unwrap();
    assert_eq!(row.get::<_, uuid::Uuid>(0), fleet.engineer.0);
}

#[tokio::test]
async fn an_empty_database_takes_no_seeds() {
    let database = Stack::shared().unwrap().empty_database().await.unwrap();
    seeds::insert(database.url()).await.unwrap_err();
    let client = database.client().await.unwrap();
    assert_eq!(catalogue::tables(&client).await, [""; 0]);
}

#[tokio::test]
async fn seeds_are_all_there_or_none() {
    let database = migrated().await;
    let client = database.client().await.unwrap();
    client
        .batch_execute("DROP TABLE vehicles CASCADE")
        .await
        .unwrap();
    seeds::insert(database.url()).await.unwrap_err();
    let row = client.query_one("SELECT count(*) FROM users", &[]).await;
    assert_eq!(row.unwrap().get::<_, i64>(0), 0);
}
