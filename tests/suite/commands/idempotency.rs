use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use sovd_tests::{CONNECTED, Client, OFFLINE, Reply, World};

use crate::commands::connect_vehicles;

const COMMANDS: &str = "/api/v1/commands";

fn body() -> Value {
    json!({
        "vehicle_id": CONNECTED, "command_name": "ReadDTC",
        "command_params": { "ecuAddress": "0x10", "format": "UDS" },
    })
}

async fn send(client: &Client, key: &str, body: &Value) -> Reply {
    let request = client
        .request(Method::POST, COMMANDS)
        .header("Idempotency-Key", key)
        .json(body);
    client.send(request).await
}

async fn count(client: &Client) -> i64 {
    let list = client.get(COMMANDS).await.expect(200);
    list["total"].as_i64().unwrap()
}

#[tokio::test]
async fn a_repeated_request_returns_the_first_response() {
    let world = World::start().await;
    let engineer = world.log_in("engineer").await;
    let first = send(&engineer, "key", &body()).await;
    assert!(!first.headers.contains_key("idempotent-replayed"));
    let location = first.headers["location"].clone();
    let first = first.expect(201);
    engineer.ended(first["command_id"].as_str().unwrap()).await;

    let reordered = json!({
        "command_params": { "format": "UDS", "ecuAddress": "0x10" },
        "command_name": "ReadDTC", "vehicle_id": CONNECTED,
    });
    for body in [body(), reordered] {
        let again = send(&engineer, "key", &body).await;
        assert_eq!(again.headers["idempotent-replayed"], "true");
        assert_eq!(again.headers["location"], location);
        assert_eq!(again.expect(201), first, "the command as it was submitted");
    }
    assert_eq!(count(&engineer).await, 1);
}

#[tokio::test]
async fn concurrent_identical_requests_create_one_command() {
    let world = World::start().await;
    let engineer = world.log_in("engineer").await;
    let body = body();
    let replies = join_all((0..20).map(|_| send(&engineer, "key", &body))).await;
    let replayed = replies
        .iter()
        .filter(|reply| reply.headers.contains_key("idempotent-replayed"))
        .count();
    assert_eq!(replayed, 19);
    let answers: Vec<Value> = replies.into_iter().map(|reply| reply.expect(201)).collect();
    assert!(answers.iter().all(|answer| *answer == answers[0]));
    assert_eq!(count(&engineer).await, 1);
    let sql = world.sql().await;
    let submitted = "SELECT count(*) FROM audit_logs WHERE action = 'command.submit'";
    let row = sql.query_one(submitted, &[]).await.unwrap();
    assert_eq!(row.get::<_, i64>(0), 1);
}

#[tokio::test]
async fn a_different_body_is_a_mismatch() {
    let world = World::start().await;
    let engineer = world.log_in("engineer").await;
    send(&engineer, "key", &body()).await.expect(201);
    for (field, value) in [
        ("vehicle_id", json!(OFFLINE)),
        ("command_name", json!("ClearDTC")),
        ("command_params", json!({ "ecuAddress": "0x11" })),
        ("expires_in_seconds", json!(60)),
        ("queue_if_offline", json!(true)),
    ] {
        let mut other = body();
        other[field] = value;
        if field == "command_name" {
            other["command_params"] = json!({ "ecuAddress": "0x10" });
        }
        send(&engineer, "key", &other)
            .await
            .expect_problem(409, "idempotency_mismatch");
    }
    assert_eq!(count(&engineer).await, 1);
}

#[tokio::test]
async fn keys_are_separate_per_user() {
    let world = World::start().await;
    let (engineer, other) = (world.log_in("engineer").await, world.log_in("other").await);
    let one = send(&engineer, "key", &body()).await.expect(201);
    let two = send(&other, "key", &body()).await.expect(201);
    assert_ne!(one["command_id"], two["command_id"]);
    assert_ne!(one["user_id"], two["user_id"]);
}

#[tokio::test]
async fn a_refused_request_does_not_use_the_key() {
    let world = World::start().await;
    let engineer = world.log_in("engineer").await;
    let clear = json!({
        "vehicle_id": OFFLINE, "command_name": "ClearDTC",
        "command_params": { "ecuAddress": "0x10" },
    });
    send(&engineer, "key", &clear)
        .await
        .expect_problem(409, "vehicle_offline");
    connect_vehicles(&world).await;
    let reply = send(&engineer, "key", &clear).await;
    assert!(!reply.headers.contains_key("idempotent-replayed"));
    reply.expect(201);
}

#[tokio::test]
async fn a_key_expires_after_a_day() {
    let world = World::start().await;
    let engineer = world.log_in("engineer").await;
    let first = send(&engineer, "key", &body()).await.expect(201);
    let sql = world.sql().await;
    let age = async |interval: &str| {
        let sql_text =
            format!("UPDATE idempotency_keys SET created_at = now() - INTERVAL '{interval}'");
        sql.execute(&sql_text, &[]).await.unwrap();
    };
    age("23 hours 59 minutes").await;
    let again = send(&engineer, "key", &body()).await.expect(201);
    assert_eq!(again["command_id"], first["command_id"]);
    age("24 hours 1 second").await;
    let new = send(&engineer, "key", &body()).await.expect(201);
    assert_ne!(new["command_id"], first["command_id"]);
}

#[tokio::test]
async fn a_key_has_1_to_255_visible_characters() {
    let world = World::start().await;
    let engineer = world.log_in("engineer").await;
    for good in ["k", &"k".repeat(255), "!~"] {
        send(&engineer, good, &body()).await.expect(201);
    }
    for bad in ["", &"k".repeat(256), "a b", "a\tb", "é"] {
        let problem = send(&engineer, bad, &body())
            .await
            .expect_problem(400, "malformed_request");
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains("Idempotency-Key"), "{detail}");
    }
    let twice = engineer
        .request(Method::POST, COMMANDS)
        .header("Idempotency-Key", "one")
        .header("Idempotency-Key", "two")
        .json(&body());
    engineer
        .send(twice)
        .await
        .expect_problem(400, "malformed_request");
    assert_eq!(count(&engineer).await, 3);
}
