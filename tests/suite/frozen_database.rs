//! A PostgreSQL that keeps its connections open and answers nothing.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use sovd_devstack::{Postgres, SearchPath};
use sovd_tests::{CONNECTED, Client, Reply, World, WorldOptions, within};
use tokio::{sync::Notify, time::sleep};

use crate::openapi::operations;

/// A statement of one second, the second that the client waits longer, a checkout of one second,
/// and what a busy machine needs.
const BOUND: Duration = Duration::from_secs(8);
/// How long a submission waits for earlier ones to the same vehicle.
const SUBMISSION_WAIT: Duration = Duration::from_secs(10);
const COMMANDS: &str = "/api/v1/commands";
const READY: &str = "/health/ready";
/// An id that no row has.
const UNKNOWN: &str = "00000000-0000-0000-0000-0000000f0000";

async fn world(postgres: &Postgres) -> World {
    let mut options = WorldOptions::on(postgres).await;
    options.settings.database.statement_seconds = 1;
    options.settings.database.checkout_timeout_ms = 1000;
    options.settings.database.pool_size = 4;
    options.settings.database.pool_overflow = 4;
    options.start().await
}

async fn until_ready(client: &Client) {
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

/// A body that is accepted, where the operation takes one.
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

/// Sends a request; gives the reply and how long it took.
async fn timed(client: &Client, request: RequestBuilder) -> (Reply, Duration) {
    let begun = Instant::now();
    let reply = client.send(request).await;
    (reply, begun.elapsed())
}

/// Sends every operation of the document at once; gives the slowest answer.
async fn send_everything(clients: &[(&str, Client)]) -> Duration {
    let document: Value = serde_json::from_str(&sovd_app::openapi_json()).unwrap();
    let operations = operations(&document);
    let mut requests = Vec::new();
    for operation in operations.iter().filter(|o| !o.path.starts_with("/ws/")) {
        for (who, client) in clients {
            let path = match operation.path.as_str() {
                "/api/v1/vehicles/{vehicle_id}" => format!("/api/v1/vehicles/{CONNECTED}"),
                path => path
                    .split('/')
                    .map(|part| if part.starts_with('{') { UNKNOWN } else { part })
                    .collect::<Vec<_>>()
                    .join("/"),
            };
            let mut request = client.request(operation.method.clone(), &path);
            if operation.definition.get("requestBody").is_some() {
                request = request.json(&body(&operation.method, &operation.path));
            }
            requests.push(async move {
                let name = format!("{} {} as {who}", operation.method, operation.path);
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
            // These need no database: what is static, who is not known, what is malformed.
            200 => assert!(
                name.contains("/health")
                    || name.contains("/catalog")
                    || name.contains("/detectors"),
                "{name}"
            ),
            400 | 401 | 422 => {}
            status => panic!("{name} answered {status}: {}", reply.body),
        }
    }
    assert!(unavailable >= 30, "only {unavailable} reached the database");
    slowest
}

#[tokio::test]
async fn every_operation_answers_while_the_database_is_frozen() {
    let postgres = Postgres::start(&SearchPath::system()).unwrap();
    let world = world(&postgres).await;
    let admin = world.log_in("admin").await;
    let clients = [("admin", admin.clone()), ("anonymous", world.stranger())];

    let frozen = postgres.freeze().unwrap();
    let slowest = send_everything(&clients).await;
    assert!(slowest >= Duration::from_secs(1), "nothing waited");
    // The connections that the pool opens anew hang, too.
    let (reply, elapsed) = timed(&admin, admin.request(Method::GET, "/api/v1/vehicles")).await;
    reply.expect_problem(503, "unavailable");
    assert!(elapsed < BOUND, "{elapsed:?}");
    let (reply, elapsed) = timed(&admin, admin.request(Method::GET, READY)).await;
    assert_eq!(reply.expect(503)["database"], "unavailable");
    assert!(elapsed < Duration::from_secs(3), "{elapsed:?}");

    drop(frozen);
    until_ready(&admin).await;
    for path in ["/api/v1/vehicles", COMMANDS, "/api/v1/audit-logs"] {
        admin.get(path).await.expect(200);
    }
    let id = world.log_in("engineer").await.read_dtc().await;
    assert_eq!(admin.ended(&id).await["status"], "completed");
}

#[tokio::test]
async fn a_submission_to_a_frozen_database_is_made_once_when_it_is_repeated() {
    let postgres = Postgres::start(&SearchPath::system()).unwrap();
    let world = world(&postgres).await;
    let engineer = world.log_in("engineer").await;
    let keys: Vec<String> = (0..12).map(|number| format!("frozen-{number}")).collect();

    // After the first answer the next submission is in the middle of its transaction.
    let first = Notify::new();
    let submissions = join_all(keys.iter().map(async |key| {
        let answer = timed(&engineer, read_dtc(&engineer, key)).await;
        first.notify_one();
        answer
    }));
    let freezing = async {
        first.notified().await;
        postgres.freeze().unwrap()
    };
    let (answers, frozen) = tokio::join!(submissions, freezing);
    for (reply, elapsed) in answers {
        assert!(elapsed < BOUND + SUBMISSION_WAIT, "{elapsed:?}");
        if reply.status != 201 {
            reply.expect_problem(503, "unavailable");
        }
    }
    drop(frozen);
    until_ready(&engineer).await;

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
    let written = admin.get(path).await.expect(200);
    assert_eq!(written["total"], keys.len(), "each with its audit entry");
}

#[tokio::test]
async fn a_stream_is_refused_while_the_database_is_frozen() {
    let postgres = Postgres::start(&SearchPath::system()).unwrap();
    let world = world(&postgres).await;
    let engineer = world.log_in("engineer").await;
    let id = engineer.read_dtc().await;
    engineer.ended(&id).await;

    let frozen = postgres.freeze().unwrap();
    let begun = Instant::now();
    let mut socket = engineer.open(&id).await;
    assert_eq!(socket.next().await.unwrap_err().code, 1013);
    assert!(begun.elapsed() < BOUND, "{:?}", begun.elapsed());
    let begun = Instant::now();
    let Err(refused) = engineer.listen(&id, None).await else {
        panic!("a stream begins");
    };
    refused.expect_problem(503, "unavailable");
    assert!(begun.elapsed() < BOUND, "{:?}", begun.elapsed());

    drop(frozen);
    until_ready(&engineer).await;
    let (_, closing) = engineer.watch(&id).await;
    assert_eq!(closing.code, 1000);
}

#[tokio::test]
async fn an_export_breaks_off_when_the_database_freezes() {
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
        let begun = Instant::now();
        let broken = loop {
            match response.chunk().await {
                Ok(Some(_)) => {}
                Ok(None) => break false,
                Err(error) => break !error.is_timeout(),
            }
        };
        assert!(broken, "{format} looks whole");
        assert!(begun.elapsed() < BOUND, "{:?}", begun.elapsed());
        drop(frozen);
        until_ready(&admin).await;
    }
}
