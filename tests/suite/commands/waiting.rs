//! Limits of the queue, and the effect of a backlog on other vehicles.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use sovd_tests::{CONNECTED, Client, OFFLINE, Reply, World};
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use crate::commands::add_vehicles;

fn read_command(vehicle_id: &str) -> Value {
    json!({
        "vehicle_id": vehicle_id, "command_name": "ReadDTC",
        "command_params": { "ecuAddress": "0x10" },
    })
}

async fn submit(client: &Client, vehicle_id: &str) -> Reply {
    client
        .post("/api/v1/commands", &read_command(vehicle_id))
        .await
}

async fn submit_keyed(client: &Client, vehicle_id: &str, key: &str) -> Reply {
    let request = client.request(Method::POST, "/api/v1/commands");
    let request = request.header("Idempotency-Key", key);
    client.send(request.json(&read_command(vehicle_id))).await
}

#[track_caller]
fn assert_queue_full(refused: Reply, limit: usize) {
    let problem = refused.expect_problem(409, "queue_full");
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains(&format!("at most {limit} ")), "{detail}");
    assert!(detail.contains("queue of this vehicle"), "{detail}");
}

#[track_caller]
fn assert_too_many(refused: Reply, limit: usize) {
    assert_eq!(refused.headers["retry-after"], "5");
    let problem = refused.expect_problem(429, "rate_limited");
    let detail = problem["detail"].as_str().unwrap();
    let expected = format!("{limit} of your commands are unfinished");
    assert!(detail.contains(&expected), "{detail}");
}

#[tokio::test]
async fn the_queue_of_a_vehicle_takes_commands_up_to_its_limit() {
    let world = World::with(|settings| settings.dispatch.waiting_per_vehicle = 3).await;
    let engineer = world.log_in("engineer").await;
    let first = submit_keyed(&engineer, OFFLINE, "first").await.expect(201);
    for _ in 0..2 {
        submit(&engineer, OFFLINE).await.expect(201);
    }
    assert_queue_full(submit(&engineer, OFFLINE).await, 3);
    assert_queue_full(submit(&world.log_in("other").await, OFFLINE).await, 3);
    assert_queue_full(submit_keyed(&engineer, OFFLINE, "refused").await, 3);

    let replayed = submit_keyed(&engineer, OFFLINE, "first").await;
    assert_eq!(replayed.headers["idempotent-replayed"], "true");
    assert_eq!(replayed.expect(201)["command_id"], first["command_id"]);
    submit(&engineer, CONNECTED).await.expect(201);

    let id = first["command_id"].as_str().unwrap();
    let path = format!("/api/v1/commands/{id}/cancel");
    engineer.post(&path, &json!({})).await.expect(200);
    // A rejected submission does not use its key.
    submit_keyed(&engineer, OFFLINE, "refused")
        .await
        .expect(201);
    assert_queue_full(submit(&engineer, OFFLINE).await, 3);
}

#[tokio::test]
async fn concurrent_submissions_respect_the_limit_of_the_vehicle() {
    let world = World::with(|settings| settings.dispatch.waiting_per_vehicle = 3).await;
    let engineer = world.log_in("engineer").await;
    let replies = join_all((0..12).map(|_| submit(&engineer, OFFLINE))).await;
    let (accepted, refused): (Vec<_>, Vec<_>) =
        replies.into_iter().partition(|reply| reply.status == 201);
    assert_eq!(accepted.len(), 3);
    for refused in refused {
        assert_queue_full(refused, 3);
    }
}

#[tokio::test]
async fn the_queue_takes_commands_of_a_user_up_to_the_limit() {
    let world = World::with(|settings| settings.dispatch.waiting_per_user = 3).await;
    let engineer = world.log_in("engineer").await;
    let vehicles = add_vehicles(&world.sql().await, "disconnected", 2).await;
    let first = submit_keyed(&engineer, OFFLINE, "first").await.expect(201);
    for vehicle in &vehicles {
        submit(&engineer, vehicle).await.expect(201);
    }
    for vehicle in [OFFLINE, &vehicles[0], CONNECTED] {
        assert_too_many(submit(&engineer, vehicle).await, 3);
    }
    submit_keyed(&engineer, OFFLINE, "first").await.expect(201);
    submit(&world.log_in("other").await, OFFLINE)
        .await
        .expect(201);

    let id = first["command_id"].as_str().unwrap();
    let path = format!("/api/v1/commands/{id}/cancel");
    engineer.post(&path, &json!({})).await.expect(200);
    submit(&engineer, OFFLINE).await.expect(201);
    assert_too_many(submit(&engineer, OFFLINE).await, 3);
}

#[tokio::test]
async fn concurrent_submissions_respect_the_limit_of_the_user() {
    let world = World::with(|settings| settings.dispatch.waiting_per_user = 3).await;
    let engineer = world.log_in("engineer").await;
    let vehicles = add_vehicles(&world.sql().await, "disconnected", 12).await;
    let submissions = vehicles.iter().map(|vehicle| submit(&engineer, vehicle));
    let (accepted, refused): (Vec<_>, Vec<_>) = join_all(submissions)
        .await
        .into_iter()
        .partition(|reply| reply.status == 201);
    assert_eq!(accepted.len(), 3);
    for refused in refused {
        assert_too_many(refused, 3);
    }
}

/// Queues commands for the disconnected vehicle.
async fn add_backlog(world: &World, commands: i32) {
    let sql = world.sql().await;
    let vehicle: Uuid = OFFLINE.parse().unwrap();
    let values: [&(dyn ToSql + Sync); 2] = [&commands, &vehicle];
    let insert = "INSERT INTO commands (user_id, vehicle_id, command_name, command_params)
                  SELECT user_id, $2, 'ReadDTC', '{\"ecuAddress\": \"0x10\"}'
                  FROM generate_series(1, $1) n, users WHERE username = 'other'";
    sql.execute(insert, &values).await.unwrap();
    let insert = "INSERT INTO command_queue (command_id, vehicle_id, due_at, expires_at)
                  SELECT command_id, vehicle_id, now(), now() + INTERVAL '1 hour'
                  FROM commands WHERE vehicle_id = $1";
    sql.execute(insert, &[&vehicle]).await.unwrap();
}

/// Measures a command for the connected vehicle from its submission to its completion.
async fn latency(client: &Client) -> Duration {
    let start = Instant::now();
    let id = client.read_dtc().await;
    let (events, _) = client.watch(&id).await;
    assert_eq!(events.last().unwrap()["status"], "completed");
    start.elapsed()
}

fn median(samples: &mut [Duration]) -> Duration {
    samples.sort_unstable();
    samples[samples.len() / 2]
}

/// Alternates between two programs on one PostgreSQL, one of them with a backlog, so that other load on
/// the machine affects both.
#[tokio::test]
async fn a_backlog_for_one_vehicle_does_not_slow_the_commands_to_another() {
    const SAMPLES: usize = 60;
    let (quiet, loaded) = (World::start().await, World::start().await);
    add_backlog(&loaded, 30_000).await;
    let quiet_client = quiet.log_in("engineer").await;
    let loaded_client = loaded.log_in("engineer").await;
    let (mut alone, mut beside) = (Vec::new(), Vec::new());
    for round in 0..SAMPLES + 5 {
        let (one, other) = (latency(&quiet_client).await, latency(&loaded_client).await);
        // The first requests also open connections.
        if round >= 5 {
            alone.push(one);
            beside.push(other);
        }
    }
    let (alone, beside) = (median(&mut alone), median(&mut beside));
    println!("p50 of a command: {alone:?} without a backlog, {beside:?} beside 30,000 commands");
    assert!(
        beside <= alone.mul_f64(1.5),
        "{beside:?} beside a backlog, {alone:?} without"
    );
}
