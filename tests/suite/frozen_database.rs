//! A PostgreSQL that keeps its connections open and does not respond.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use sovd_devstack::{Postgres, SearchPath};
use sovd_tests::{CONNECTED, Client, Reply, World, WorldOptions, within};
use tokio::{sync::Notify, time::sleep};

use crate::openapi::{document, operations};

/// The statement timeout of one second, the grace period and the checkout timeout of one second each, and
/// a margin for a busy machine.
const BOUND: Duration = Duration::from_secs(8);
/// How long a submission waits for earlier ones to the same vehicle.
const SUBMISSION_WAIT: Duration = Duration::from_secs(10);
const COMMANDS: &str = "/api/v1/commands";
const READY: &str = "/health/ready";
/// The id of no row.
const UNKNOWN: &str = "00000000-0000-0000-0000-0000000f0000";

async fn world(postgres: &Postgres) -> World {
    let mut options = WorldOptions::on(postgres).await;
    options.settings.database.statement_seconds = 1;
    options.settings.database.checkout_timeout_ms = 1000;
    options.settings.database.pool_size = 4;
    options.settings.database.pool_overflow = 4;
    options.start().await
}

async fn wait_until_ready(client: &Client) {
    within("the database to be ready", async {
        while client.get(READY).await.status != 200 {
            sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

fn read_dtc(client: &Client, key: &str) -> RequestBuilder {
    let body = json!({
        "vehicle_id": CONNECTED, "command_name": "ReadDTC",
        "command_params": { "ecuAddress": "0x10" },
    });
    let request = client.request(Method::POST, COMMANDS).json(&body);
    request.header("Idempotency-Key", key)
}

/// Returns a valid body for an operation, or an empty one.
fn body(method: &Method, path: &str) -> Value {
    match (method.as_str(), path) {
        ("POST", "/api/v1/auth/login") => json!({ "username": "admin", "password": "admin123" }),
        ("POST", "/api/v1/commands") => json!({
            "vehicle_id": CONNECTED, "command_name": "ReadDTC",
            "command_params": { "ecuAddress": "0x10" },
        }),
        ("POST", "/api/v1/vehicles") => {
            json!({ "vin": "WBA00000000000001", "make": "BMW", "model": "X5", "year": 2022 })
        }
        ("POST", "/api/v1/auth/refresh") => json!({ "refresh_token": "x".repeat(43) }),
        ("PATCH", "/api/v1/vehicles/{vehicle_id}") => json!({ "model": "X7" }),
        _ => json!({}),
    }
}

/// Sends a request and returns the reply and its duration.
async fn timed(client: &Client, request: RequestBuilder) -> (Reply, Duration) {
    let started = Instant::now();
    let reply = client.send(request).await;
    (reply, started.elapsed())
}

/// Sends every operation of the document concurrently and returns the longest duration.
async fn send_all_operations(clients: &[(&str, Client)]) -> Duration {
    let operations = operations(&document());
    let mut requests = Vec::new();
    for operation in operations.iter().filter(|it| !it.is_websocket()) {
        for (role, client) in clients {
            let path = match operation.path.as_str() {
                "/api/v1/vehicles/{vehicle_id}" => operation.path_with(CONNECTED),
                _ => operation.path_with(UNKNOWN),
            };
            let mut request = client.request(operation.method.clone(), &path);
            if operation.definition.get("requestBody").is_some() {
                request = request.json(&body(&operation.method, &operation.path));
            }
            requests.push(async move {
                let name = format!("{} {} as {role}", operation.method, operation.path);
                (name, timed(client, request).await)
            });
        }
    }
    let mut slowest = Duration::ZERO;
    let mut unavailable = 0;
    for (name, (reply, elapsed)) in join_all(requests).await {
        assert!(elapsed < BOUND, "{name} took {elapsed:?}");
        slowest = slowest.max(elapsed);
        match reply.status.as_u16() {
            503 if name.contains(READY) => {}
            503 => {
                assert!(reply.headers.contains_key("retry-after"), "{name}");
                reply.expect_problem(503, "unavailable");
                unavailable += 1;
            }
            // These need no database: static content, missing tokens and malformed requests.
            200 => assert!(
                name.contains("/health")
                    || name.contains("/catalog")
                    || name.contains("/detectors"),
                "{name}"
            ),
            400 | 401 | 422 => {}
            status => panic!("{name} returned {status}: {}", reply.body),
        }
    }
    assert!(unavailable >= 30, "only {unavailable} reached the database");
    slowest
}

#[tokio::test]
async fn every_operation_responds_while_the_database_is_frozen() {
    let postgres = Postgres::start(&SearchPath::system()).unwrap();
    let world = world(&postgres).await;
    let admin = world.log_in("admin").await;
    let clients = [("admin", admin.clone()), ("anonymous", world.anonymous())];

    let frozen = postgres.freeze().unwrap();
    let slowest = send_all_operations(&clients).await;
    assert!(slowest >= Duration::from_secs(1), "nothing waited");
    // New connections of the pool hang, too.
    let (reply, elapsed) = timed(&admin, admin.request(Method::GET, "/api/v1/vehicles")).await;
    reply.expect_problem(503, "unavailable");
    assert!(elapsed < BOUND, "{elapsed:?}");
    let (reply, elapsed) = timed(&admin, admin.request(Method::GET, READY)).await;
    assert_eq!(reply.expect(503)["database"], "unavailable");
    assert!(elapsed < Duration::from_secs(3), "{elapsed:?}");

    drop(frozen);
    wait_until_ready(&admin).await;
    for path in ["/api/v1/vehicles", COMMANDS, "/api/v1/audit-logs"] {
        admin.get(path).await.expect(200);
    }
    let id = world.log_in("engineer").await.read_dtc().await;
    assert_eq!(admin.ended(&id).await["status"], "completed");
}

#[tokio::test]
async fn a_repeated_submission_to_a_frozen_database_creates_one_command() {
    let postgres = Postgres::start(&SearchPath::system()).unwrap();
    let world = world(&postgres).await;
    let engineer = world.log_in("engineer").await;
    let keys: Vec<String> = (0..12).map(|number| format!("frozen-{number}")).collect();

    // After the first response the next submission is in the middle of its transaction.
    let first = Notify::new();
    let submissions = join_all(keys.iter().map(async |key| {
        let reply = timed(&engineer, read_dtc(&engineer, key)).await;
        first.notify_one();
        reply
    }));
    let freeze = async {
        first.notified().await;
        postgres.freeze().unwrap()
    };
    let (replies, frozen) = tokio::join!(submissions, freeze);
    for (reply, elapsed) in replies {
        assert!(elapsed < BOUND + SUBMISSION_WAIT, "{elapsed:?}");
        if reply.status != 201 {
            reply.expect_problem(503, "unavailable");
        }
    }
    drop(frozen);
    wait_until_ready(&engineer).await;

    let mut ids = Vec::new();
    for key in &keys {
        let command = engineer.send(read_dtc(&engineer, key)).await.expect(201);
        ids.push(command["command_id"].as_str().unwrap().to_owned());
    }
    let list = engineer.get(COMMANDS).await.expect(200);
    assert_eq!(list["total"], keys.len());
    for id in &ids {
        assert_eq!(engineer.ended(id).await["status"], "completed");
    }
    let admin = world.log_in("admin").await;
    let path = "/api/v1/audit-logs?action=command.submit";
    let entries = admin.get(path).await.expect(200);
    assert_eq!(entries["total"], keys.len(), "one audit entry each");
}

#[tokio::test]
async fn rejects_streams_while_the_database_is_frozen() {
    let postgres = Postgres::start(&SearchPath::system()).unwrap();
    let world = world(&postgres).await;
    let engineer = world.log_in("engineer").await;
    let id = engineer.read_dtc().await;
    engineer.ended(&id).await;

    let frozen = postgres.freeze().unwrap();
    let started = Instant::now();
    let mut socket = engineer.open(&id).await;
    assert_eq!(socket.next().await.unwrap_err().code, 1013);
    assert!(started.elapsed() < BOUND, "{:?}", started.elapsed());
    let started = Instant::now();
    let Err(refused) = engineer.listen(&id, None).await else {
        panic!("the stream was opened");
    };
    refused.expect_problem(503, "unavailable");
    assert!(started.elapsed() < BOUND, "{:?}", started.elapsed());

    drop(frozen);
    wait_until_ready(&engineer).await;
    let (_, closing) = engineer.watch(&id).await;
    assert_eq!(closing.code, 1000);
}

#[tokio::test]
async fn an_export_breaks_off_if_the_database_freezes() {
    let postgres = Postgres::start(&SearchPath::system()).unwrap();
    let world = world(&postgres).await;
    let admin = world.log_in("admin").await;
    let (sql, connection) = tokio_postgres::connect(&postgres.url(), tokio_postgres::NoTls)
        .await
        .unwrap();
    tokio::spawn(connection);
    sql.execute(
        "INSERT INTO audit_logs (action, entity_type, details)
         SELECT 'test', 'many', jsonb_build_object('text', repeat('x', 1000))
         FROM generate_series(1, 40000)",
        &[],
    )
    .await
    .unwrap();
    for format in ["csv", "ndjson"] {
        let path = format!("/api/v1/audit-logs/export?format={format}&entity_type=many");
        let mut response = admin.request(Method::GET, &path).send().await.unwrap();
        assert_eq!(response.status(), 200);
        response.chunk().await.unwrap().unwrap();
        let frozen = postgres.freeze().unwrap();
        let started = Instant::now();
        let broken = loop {
            match response.chunk().await {
                Ok(Some(_)) => {}
                Ok(None) => break false,
                Err(error) => break !error.is_timeout(),
            }
        };
        assert!(broken, "{format} ended as if complete");
        assert!(started.elapsed() < BOUND, "{:?}", started.elapsed());
        drop(frozen);
        wait_until_ready(&admin).await;
    }
}
