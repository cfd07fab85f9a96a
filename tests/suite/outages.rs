use std::time::Duration;

use serde_json::Value;
use sovd_devstack::{Postgres, Redis, SearchPath};
use sovd_tests::{Client, World, WorldOptions, numbers, within};
use tokio::time::sleep;

const READY: &str = "/health/ready";

/// Asks until the answer has the status.
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
async fn without_redis_commands_complete_and_streams_are_whole() {
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
async fn without_the_database_callers_are_asked_to_wait_and_then_served() {
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
        "the cause is for the log: {problem}"
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
async fn a_database_that_goes_away_in_the_middle_costs_no_chunk() {
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
async fn a_redis_that_was_never_there_holds_no_answer_up() {
    let world = World::with(|settings| {
        settings.redis.url = Some(sovd_app::settings::SecretUrl::new("redis://127.0.0.1:1"));
        // More chunks than seconds that a vehicle has.
        settings.connector.mock.chunks = 60;
    })
    .await;
    let engineer = world.log_in("engineer").await;
    let id = engineer.read_dtc().await;
    assert_eq!(engineer.ended(&id).await["status"], "completed");
}
