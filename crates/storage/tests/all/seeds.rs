use serde_json::{Value, json};
use sovd_devstack::{Stack, TestDatabase};
use sovd_domain::Listing;
use sovd_storage::{maintenance::insights, seeds};
use tokio_postgres::Client;

use crate::{
    fixture::{Fleet, migrated, page},
    system_catalog,
};

/// The seeded rows as JSON.
async fn rows(client: &Client) -> Value {
    let sql = "SELECT jsonb_build_array(
                   (SELECT jsonb_agg(users ORDER BY user_id) FROM users),
                   (SELECT jsonb_agg(vehicles ORDER BY vehicle_id) FROM vehicles),
                   (SELECT jsonb_agg(anomaly_events ORDER BY id) FROM anomaly_events),
                   (SELECT jsonb_agg(anomaly_episodes ORDER BY anomaly_event_id)
                    FROM anomaly_episodes),
                   (SELECT jsonb_agg(diagnoses ORDER BY id) FROM diagnoses),
                   (SELECT jsonb_agg(service_bookings ORDER BY id) FROM service_bookings),
                   (SELECT jsonb_agg(booking_anomalies ORDER BY booking_id) FROM booking_anomalies),
                   (SELECT jsonb_agg(manufacturing_insights ORDER BY id)
                    FROM manufacturing_insights),
                   (SELECT jsonb_agg(insight_failures ORDER BY anomaly_event_id)
                    FROM insight_failures))";
    client.query_one(sql, &[]).await.unwrap().get(0)
}

async fn seeded() -> (TestDatabase, Client) {
    let database = migrated().await;
    let client = database.client().await.unwrap();
    seeds::insert(database.url()).await.unwrap();
    (database, client)
}

#[tokio::test]
async fn the_seeds_contain_known_users_and_vehicles() {
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
async fn the_seeds_contain_a_customer_with_a_history() {
    let (_database, client) = seeded().await;
    let sql = "SELECT username || ' ' || email || ' ' || role FROM users
               WHERE username NOT IN ('admin', 'engineer') ORDER BY user_id";
    assert_eq!(
        system_catalog::lines(&client, sql).await,
        [
            "customer user@demo.com customer",
            "service service@ey.com service",
            "manufacturer admin@oem.com manufacturer",
        ]
    );
    let sql = "SELECT concat_ws(' ', vin, make, model, year, vehicle_type, username,
                                connection_status)
               FROM vehicles JOIN users ON user_id = owner_id";
    assert_eq!(
        system_catalog::lines(&client, sql).await,
        ["VIN123456789 Tesla Model 3 2023 EV customer connected"]
    );
    let sql = "SELECT concat_ws(' ',
                   count(*), count(DISTINCT vehicle_id), bool_and(detected_at < now()),
                   (SELECT count(DISTINCT anomaly_event_id) FROM diagnoses),
                   (SELECT count(*) FROM service_bookings
                    WHERE status = 'COMPLETED' AND appointment_time < now()),
                   (SELECT count(*) FROM manufacturing_insights))
               FROM anomaly_events";
    assert_eq!(system_catalog::lines(&client, sql).await, ["5 1 t 5 3 2"]);
}

#[tokio::test]
async fn the_seeded_insights_are_not_derived_again() {
    let fleet = Fleet::new().await;
    let sql = "DELETE FROM users";
    fleet.client.batch_execute(sql).await.unwrap();
    seeds::insert(fleet.url()).await.unwrap();
    let mut connection = fleet.connection().await;
    let Listing {
        items: components, ..
    } = insights::summary(&mut connection, page(100, 0))
        .await
        .unwrap();
    let components: Vec<(&str, i64, i64)> = components
        .iter()
        .map(|one| {
            (
                one.component_name.as_str(),
                one.confirmed_failures,
                one.insights,
            )
        })
        .collect();
    assert_eq!(
        components,
        [("battery module", 1, 1), ("coolant pump", 1, 1)]
    );
    let groups = insights::derivable_groups(&mut connection, 0, 100)
        .await
        .unwrap();
    assert_eq!(groups, []);
}

#[tokio::test]
async fn the_history_is_omitted_if_the_customer_s_name_is_taken() {
    let database = migrated().await;
    let client = database.client().await.unwrap();
    let taken = "INSERT INTO users (username, email, password_hash, role)
                 VALUES ('customer', 'engineer@example.com', '', 'engineer')";
    client.batch_execute(taken).await.unwrap();
    seeds::insert(database.url()).await.unwrap();
    let sql = "SELECT vin::text FROM vehicles ORDER BY 1";
    let vins = system_catalog::lines(&client, sql).await;
    assert_eq!(vins, ["TESTVIN0000000001", "TESTVIN0000000002"]);
    let sql = "SELECT concat_ws(' ', (SELECT count(*) FROM anomaly_events),
                                (SELECT count(*) FROM service_bookings))";
    assert_eq!(system_catalog::lines(&client, sql).await, ["0 0"]);
}

#[tokio::test]
async fn seeding_twice_changes_nothing() {
    let (database, client) = seeded().await;
    let before = rows(&client).await;
    seeds::insert(database.url()).await.unwrap();
    assert_eq!(rows(&client).await, before);
}

#[tokio::test]
async fn seeding_keeps_a_changed_row() {
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
async fn an_existing_user_keeps_the_name_of_a_seed() {
    let fleet = Fleet::new().await;
    seeds::insert(fleet.url()).await.unwrap();
    let sql = "SELECT user_id FROM users WHERE username = 'engineer'";
    let row = fleet.client.query_one(sql, &[]).await.unwrap();
    assert_eq!(row.get::<_, uuid::Uuid>(0), fleet.engineer.0);
}

#[tokio::test]
async fn seeding_an_unmigrated_database_fails() {
    let database = Stack::shared().unwrap().empty_database().await.unwrap();
    seeds::insert(database.url()).await.unwrap_err();
    let client = database.client().await.unwrap();
    assert_eq!(system_catalog::tables(&client).await, [""; 0]);
}

#[tokio::test]
async fn seeding_is_atomic() {
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
