use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sovd_devstack::{Postgres, Redis, SearchPath};
use sovd_tests::{Client, World, WorldOptions, numbers, within};
use tokio::time::sleep;

use crate::commands::add_vehicles;

const READY: &str = "/health/ready";

/// Requests `/health/ready` until it returns the status, and returns the body.
async fn until_ready_is(client: &Client, status: u16) -> Value {
    within("readiness to change", async {
        loop {
            let reply = client.get(READY).await;
            if reply.status.as_u16() == status {
                return reply.body;
            }
            sleep(Duration::from_millis(20)).await;
        }
    })
    .await
}

#[tokio::test]
async fn commands_and_streams_work_without_redis() {
    let redis = Redis::start(&SearchPath::system()).unwrap();
    let world = World::with(|settings| {
        settings.redis.url = Some(sovd_app::settings::SecretUrl::new(redis.url()));
        settings.connector.mock.chunks = 5;
        settings.connector.mock.min_delay_ms = 100;
        settings.connector.mock.max_delay_ms = 100;
    })
    .await;
    let engineer = world.log_in("engineer").await;
    let id = engineer.read_dtc().await;
    let mut socket = engineer.open(&id).await;
    socket.next().await.unwrap();
    redis.stop().unwrap();
    let (events, closing) = socket.rest().await;
    assert_eq!(closing.code, 1000);
    assert_eq!(numbers(&events), [1, 2, 3, 4, 5]);
    assert_eq!(events.last().unwrap()["status"], "completed");

    let degraded = engineer.get(READY).await.expect(200);
    assert_eq!(degraded["status"], "degraded");
    assert_eq!(degraded["redis"], "unavailable");
    assert_eq!(degraded["database"], "ok");

    redis.start_again().unwrap();
    within("redis to be seen", async {
        while engineer.get(READY).await.expect(200)["status"] != "ok" {
            sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    let id = engineer.read_dtc().await;
    assert_eq!(engineer.ended(&id).await["status"], "completed");
}

#[tokio::test]
async fn does_not_fall_back_to_redis_without_tls() {
    let redis = Redis::start(&SearchPath::system()).unwrap();
    let url = redis.url().replace("redis://", "rediss://");
    let world = World::with(|settings| {
        settings.redis.url = Some(sovd_app::settings::SecretUrl::new(url));
    })
    .await;
    let engineer = world.log_in("engineer").await;
    let degraded = engineer.get(READY).await.expect(200);
    assert_eq!(degraded["redis"], "unavailable");
    let (events, _) = engineer.watch(&engineer.read_dtc().await).await;
    assert_eq!(events.last().unwrap()["status"], "completed");
}

#[tokio::test]
async fn returns_503_until_the_database_is_back() {
    let postgres = Postgres::start(&SearchPath::system()).unwrap();
    let options = WorldOptions::on(&postgres).await;
    let world = options.start().await;
    let engineer = world.log_in("engineer").await;
    until_ready_is(&engineer, 200).await;

    postgres.stop().unwrap();
    let refused = engineer.get("/api/v1/vehicles").await;
    assert!(refused.headers.contains_key("retry-after"));
    let problem = refused.expect_problem(503, "unavailable");
    assert!(
        !problem.to_string().contains("postgres"),
        "the cause is concealed: {problem}"
    );
    let body = until_ready_is(&engineer, 503).await;
    assert_eq!(body["database"], "unavailable");
    engineer.get("/health/live").await.expect(200);

    postgres.start_again().unwrap();
    until_ready_is(&engineer, 200).await;
    engineer.get("/api/v1/vehicles").await.expect(200);
    let id = engineer.read_dtc().await;
    assert_eq!(engineer.ended(&id).await["status"], "completed");
}

#[tokio::test]
async fn a_database_restart_during_a_response_loses_no_chunk() {
    let postgres = Postgres::start(&SearchPath::system()).unwrap();
    let mut options = WorldOptions::on(&postgres).await;
    options.settings.connector.mock.chunks = 6;
    options.settings.connector.mock.min_delay_ms = 100;
    options.settings.connector.mock.max_delay_ms = 100;
    let world = options.start().await;
    let engineer = world.log_in("engineer").await;
    let id = engineer.read_dtc().await;
    let mut socket = engineer.open(&id).await;
    socket.next().await.unwrap();
    socket.next().await.unwrap();
    postgres.stop().unwrap();
    postgres.start_again().unwrap();
    let (events, closing) = socket.rest().await;
    assert_eq!(closing.code, 1000);
    assert_eq!(numbers(&events), [2, 3, 4, 5, 6]);
    assert_eq!(events.last().unwrap()["status"], "completed");
}

#[tokio::test]
async fn an_absent_redis_does_not_delay_responses() {
    let world = World::with(|settings| {
        settings.redis.url = Some(sovd_app::settings::SecretUrl::new("redis://127.0.0.1:1"));
        // More chunks than the timeout of a vehicle has seconds.
        settings.connector.mock.chunks = 60;
    })
    .await;
    let engineer = world.log_in("engineer").await;
    let id = engineer.read_dtc().await;
    assert_eq!(engineer.ended(&id).await["status"], "completed");
}

/// Submits two commands for each vehicle, so that one of them waits, and returns their ids.
async fn keep_busy(client: &Client, vehicles: &[String]) -> Vec<String> {
    let mut ids = Vec::new();
    for vehicle in vehicles.iter().chain(vehicles) {
        let name = if ids.len() % 3 == 0 {
            "ClearDTC"
        } else {
            "ReadDTC"
        };
        let body = json!({
            "vehicle_id": vehicle, "command_name": name,
            "command_params": { "ecuAddress": "0x10" },
        });
        let command = client.post("/api/v1/commands", &body).await.expect(201);
        ids.push(command["command_id"].as_str().unwrap().to_owned());
    }
    ids
}

async fn assert_completed(client: &Client, ids: &[String]) {
    for id in ids {
        let (events, closing) = client.watch(id).await;
        assert_eq!(closing.code, 1000);
        assert_eq!(events.last().unwrap()["status"], "completed", "{events:?}");
        let expected: Vec<i64> = (1..).take(numbers(&events).len()).collect();
        assert_eq!(numbers(&events), expected);
    }
}

#[tokio::test]
async fn a_database_outage_of_5_s_loses_no_command() {
    let postgres = Postgres::start(&SearchPath::system()).unwrap();
    let mut options = WorldOptions::on(&postgres).await;
    options.settings.connector.mock.chunks = 4;
    options.settings.connector.mock.min_delay_ms = 100;
    options.settings.connector.mock.max_delay_ms = 400;
    let world = options.start().await;
    let engineer = world.log_in("engineer").await;
    let (sql, connection) = tokio_postgres::connect(&postgres.url(), tokio_postgres::NoTls)
        .await
        .unwrap();
    tokio::spawn(connection);
    let vehicles = add_vehicles(&sql, "connected", 20).await;
    let ids = keep_busy(&engineer, &vehicles).await;
    let mut socket = engineer.open(&ids[0]).await;
    socket.next().await.unwrap();
    socket.next().await.unwrap();

    postgres.stop().unwrap();
    let back_at = Instant::now() + Duration::from_secs(5);
    let body = json!({
        "vehicle_id": vehicles[0], "command_name": "ReadDTC",
        "command_params": { "ecuAddress": "0x10" },
    });
    let mut refused = 0;
    while Instant::now() < back_at {
        for reply in [
            engineer.get(&format!("/api/v1/commands/{}", ids[0])).await,
            engineer.post("/api/v1/commands", &body).await,
        ] {
            assert!(reply.headers.contains_key("retry-after"));
            reply.expect_problem(503, "unavailable");
            refused += 1;
        }
    }
    assert!(refused > 0);
    postgres.start_again().unwrap();
    until_ready_is(&engineer, 200).await;
    assert_completed(&engineer, &ids).await;
    let list = engineer.get("/api/v1/commands").await.expect(200);
    assert_eq!(list["total"], ids.len(), "rejected commands are not queued");
}

#[tokio::test]
async fn a_redis_outage_of_5_s_delays_no_command() {
    let redis = Redis::start(&SearchPath::system()).unwrap();
    let world = World::with(|settings| {
        settings.redis.url = Some(sovd_app::settings::SecretUrl::new(redis.url()));
        settings.connector.mock.min_delay_ms = 20;
        settings.connector.mock.max_delay_ms = 50;
    })
    .await;
    let engineer = world.log_in("engineer").await;
    let vehicles = add_vehicles(&world.sql().await, "connected", 5).await;
    let ids = keep_busy(&engineer, &vehicles).await;
    redis.stop().unwrap();
    let back_at = Instant::now() + Duration::from_secs(5);
    assert_completed(&engineer, &ids).await;
    while Instant::now() < back_at {
        let id = engineer.read_dtc().await;
        assert_eq!(engineer.ended(&id).await["status"], "completed");
    }
    redis.start_again().unwrap();
    let id = engineer.read_dtc().await;
    assert_eq!(engineer.ended(&id).await["status"], "completed");
}
