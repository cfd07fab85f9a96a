//! Messages forged by an attacker with write access to Redis.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sovd_app::settings::SecretUrl;
use sovd_devstack::{Redis, SearchPath};
use sovd_tests::{CONNECTED, Client, RawRedis, World, numbers, within};
use tokio::{task::JoinHandle, time::sleep};

use crate::fleet::events::{listening, next_of_command};

const ME: &str = "/api/v1/auth/me";
const EVENTS: &str = "/ws/events";

/// Starts two processes on one Redis, with the documented channels and slow commands.
async fn two_nodes(redis: &Redis) -> (World, World) {
    let world = World::with(|settings| {
        settings.redis.url = Some(SecretUrl::new(redis.url()));
        "sovd".clone_into(&mut settings.redis.key_prefix);
        settings.connector.mock.chunks = 4;
        settings.connector.mock.min_delay_ms = 300;
        settings.connector.mock.max_delay_ms = 300;
    })
    .await;
    let beside = world
        .beside(|settings| settings.dispatch.enabled = false)
        .await;
    (world, beside)
}

fn forged_response(command_id: &str, number: i64, is_final: bool) -> Value {
    json!({
        "event": "response", "command_id": command_id,
        "response_id": "00000000-0000-0000-0000-0000000000ff",
        "response": { "dtcs": [{ "code": "FORGED" }], "finding": "cleared" },
        "sequence_number": number, "is_final": is_final,
        "received_at": "2026-01-02T03:04:05Z",
    })
}

/// Returns forged messages about a command.
fn forgeries(command_id: &str) -> Vec<Vec<u8>> {
    let other = "00000000-0000-0000-0000-00000000abcd";
    let mut messages: Vec<Value> = [0, 1, 2, 3, 4, 5, -1, i64::from(i32::MAX), i64::MAX]
        .iter()
        .flat_map(|number| [false, true].map(|end| forged_response(command_id, *number, end)))
        .collect();
    messages.extend([
        forged_response(other, 1, true),
        json!({ "event": "status", "command_id": command_id, "status": "in_progress" }),
        json!({ "event": "status", "command_id": command_id, "status": "pending" }),
        json!({ "event": "status", "command_id": command_id, "status": "completed",
                "completed_at": "2026-01-02T03:04:05Z", "finding": "cleared" }),
        json!({ "event": "error", "command_id": command_id, "status": "failed",
                "failure_kind": "rejected", "error_message": "FORGED",
                "completed_at": "2026-01-02T03:04:05Z" }),
        json!({ "event": "error", "command_id": command_id, "status": "failed",
                "failure_kind": "outcome_unknown", "error_message": "FORGED",
                "completed_at": "2026-01-02T03:04:05Z" }),
        json!({ "event": "deleted", "command_id": command_id }),
        Value::Null,
    ]);
    let mut messages: Vec<Vec<u8>> = messages
        .iter()
        .map(|message| message.to_string().into_bytes())
        .collect();
    let deep = "[".repeat(200_000) + &"]".repeat(200_000);
    messages.extend([
        format!(r#"{{"event":"response","sequence_number":1,"response":{deep}}}"#).into_bytes(),
        deep.into_bytes(),
        vec![b'a'; 4 << 20],
        b"{\"event\":\"status\",\"status\":\"comp".to_vec(),
        vec![0xff, 0xfe, 0],
        Vec::new(),
    ]);
    messages
}

/// Publishes the messages repeatedly until the task is aborted.
fn keep_publishing(redis: &Redis, channel: String, messages: Vec<Vec<u8>>) -> JoinHandle<()> {
    let url = redis.url();
    tokio::spawn(async move {
        let mut redis = RawRedis::connect(&url).await;
        loop {
            for message in &messages {
                redis.publish(&channel, message).await;
            }
            sleep(Duration::from_millis(5)).await;
        }
    })
}

/// Asserts that the stream and the history of the command are complete and not forged.
async fn assert_genuine(client: &Client, id: &str, events: &[Value]) {
    let text = Value::from(events).to_string();
    assert!(!text.contains("FORGED"), "{text}");
    assert_eq!(numbers(events), [1, 2, 3, 4], "{text}");
    assert_eq!(events.first().unwrap()["status"], "in_progress");
    assert_eq!(events.last().unwrap()["status"], "completed");
    let stored = client
        .get(&format!("/api/v1/commands/{id}/responses"))
        .await
        .expect(200);
    let stored = stored.as_array().unwrap();
    for (event, response) in events.iter().skip(1).zip(stored) {
        assert_eq!(event["response"], response["response_payload"]);
        assert_eq!(event["response_id"], response["response_id"]);
    }
}

#[tokio::test]
async fn forged_events_reach_no_follower() {
    let redis = Redis::start(&SearchPath::system()).unwrap();
    let (world, beside) = two_nodes(&redis).await;
    let engineer = world.log_in("engineer").await;
    let elsewhere = engineer.at(beside.address());
    let id = engineer.read_dtc().await;
    let forging = keep_publishing(&redis, format!("response:{id}"), forgeries(&id));
    let (here, there) = tokio::join!(engineer.watch(&id), elsewhere.watch(&id));
    forging.abort();
    for (events, closing) in [here, there] {
        assert_eq!(closing.code, 1000);
        assert_genuine(&engineer, &id, &events).await;
    }
}

#[tokio::test]
async fn forged_fleet_events_deliver_only_database_state() {
    let redis = Redis::start(&SearchPath::system()).unwrap();
    let (world, beside) = two_nodes(&redis).await;
    let engineer = world.log_in("engineer").await;
    let elsewhere = engineer.at(beside.address());
    let other = world.log_in("other").await;
    let me = engineer.get(ME).await.expect(200)["user_id"].clone();
    let others = other.read_dtc().await;
    other.ended(&others).await;
    let ended = engineer.read_dtc().await;
    engineer.ended(&ended).await;
    let mut socket = listening(&world, &elsewhere, EVENTS).await;
    let forged = |command_id: &str, status: &str, name: &str| {
        let message = json!({
            "event": "command", "command_id": command_id, "vehicle_id": CONNECTED, "user_id": me,
            "command_name": name, "status": status, "failure_kind": null,
        });
        message.to_string().into_bytes()
    };
    let unknown = "00000000-0000-0000-0000-00000000abcd";
    let vehicle = json!({
        "event": "vehicle", "vehicle_id": CONNECTED, "owner_id": null,
        "connection_status": "error", "last_seen_at": null,
    });
    let mut redis = RawRedis::connect(&redis.url()).await;
    for message in [
        forged(&ended, "pending", "ReadDTC"),
        forged(&ended, "failed", "FORGED"),
        forged(&others, "failed", "ReadDTC"),
        forged(unknown, "completed", "ReadDTC"),
        vehicle.to_string().into_bytes(),
        b"{\"event\":\"command\"}".to_vec(),
        b"\xff".to_vec(),
        vec![b'['; 1 << 20],
    ] {
        redis.publish("news", message).await;
    }
    // A new command follows the forged messages.
    let new = engineer.read_dtc().await;
    within("the new command to end", async {
        loop {
            let event = socket.next().await.unwrap();
            if event["event"] == "vehicle" && event["vehicle_id"] == CONNECTED {
                assert_eq!(event["connection_status"], "connected", "{event}");
            }
            if event["event"] != "command" {
                continue;
            }
            assert_eq!(event["command_name"], "ReadDTC", "{event}");
            if event["command_id"] == ended {
                assert_eq!(event["status"], "completed", "{event}");
            } else {
                assert_eq!(event["command_id"], new, "{event}");
                if event["status"] == "completed" {
                    return;
                }
            }
        }
    })
    .await;
}

#[tokio::test]
async fn floods_of_forged_messages_end_no_session_and_delay_no_client() {
    let redis = Redis::start(&SearchPath::system()).unwrap();
    let (world, beside) = two_nodes(&redis).await;
    let engineer = world.log_in("engineer").await;
    let elsewhere = engineer.at(beside.address());
    let me = engineer.get(ME).await.expect(200);
    let mut socket = listening(&world, &elsewhere, EVENTS).await;
    let changes = [
        json!({ "changed": "unknown" }),
        json!({ "changed": "user", "user_id": me["user_id"] }),
        json!({ "changed": "session", "session_id": "00000000-0000-0000-0000-00000000abcd" }),
    ];
    let changes = changes.map(|change| change.to_string().into_bytes());
    let many = changes.iter().cycle().take(600).cloned().collect();
    let resyncs = vec![b"{\"event\":\"resync\"}".to_vec(); 200];
    let flooded = Instant::now();
    let floods = [
        keep_publishing(&redis, "access".to_owned(), many),
        keep_publishing(&redis, "news".to_owned(), resyncs),
    ];
    sleep(Duration::from_millis(500)).await;
    let started = Instant::now();
    for _ in 0..50 {
        elsewhere.get(ME).await.expect(200);
    }
    assert!(started.elapsed() < Duration::from_secs(10));
    let id = engineer.read_dtc().await;
    assert_eq!(elsewhere.ended(&id).await["status"], "completed");
    // Fleet events lost in the flood are replaced by at most one resync per second.
    let mut resyncs = 0;
    within("resyncs", async {
        while resyncs < 6 {
            let event = socket.next().await.unwrap();
            resyncs += u64::from(event["event"] == "resync");
        }
    })
    .await;
    // The processes may have sent some themselves when they connected.
    let seconds = flooded.elapsed().as_secs();
    assert!(resyncs <= seconds + 3, "{resyncs} in {seconds} s");
    for flood in floods {
        flood.abort();
    }
    let (events, closing) = elsewhere.watch(&id).await;
    assert_eq!(closing.code, 1000);
    assert_genuine(&engineer, &id, &events).await;
}

#[tokio::test]
async fn every_state_is_delivered_once_to_local_receivers() {
    let redis = Redis::start(&SearchPath::system()).unwrap();
    let (world, _beside) = two_nodes(&redis).await;
    let engineer = world.log_in("engineer").await;
    let mut socket = listening(&world, &engineer, EVENTS).await;
    for _ in 0..2 {
        let id = engineer.read_dtc().await;
        for status in ["pending", "in_progress", "completed"] {
            let event = next_of_command(&mut socket).await;
            assert_eq!(
                (&event["command_id"], &event["status"]),
                (&json!(id), &json!(status))
            );
        }
    }
}
