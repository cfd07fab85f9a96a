use futures_util::future::join_all;
use serde_json::{Value, json};
use sovd_tests::{Client, World};

use crate::commands::{add_vehicles, connect_vehicles};

async fn cancel(client: &Client, id: &str) -> sovd_tests::Reply {
    let path = format!("/api/v1/commands/{id}/cancel");
    client.post(&path, &json!(null)).await
}

#[tokio::test]
async fn a_cancelled_command_is_never_sent() {
    let world = World::start().await;
    let engineer = world.log_in("engineer").await;
    let id = engineer.read_dtc_offline(3600).await;
    let mut socket = engineer.open(&id).await;
    let cancelled = cancel(&engineer, &id).await.expect(200);
    assert_eq!(cancelled["status"], "failed");
    assert_eq!(cancelled["failure_kind"], "cancelled");
    assert_eq!(cancelled["started_at"], Value::Null);
    assert!(cancelled["completed_at"].is_string());
    let event = socket.next().await.unwrap();
    assert_eq!(event["failure_kind"], "cancelled");
    assert_eq!(socket.rest().await.1.code, 1000);

    connect_vehicles(&world).await;
    let path = format!("/api/v1/commands/{id}");
    assert_eq!(engineer.get(&path).await.expect(200), cancelled);
    cancel(&engineer, &id)
        .await
        .expect_problem(409, "not_cancellable");
}

#[tokio::test]
async fn cancelling_a_hanging_read_frees_the_vehicle() {
    let world = World::with(|settings| {
        settings.connector.mock.hang = true;
        settings.connector.mock.only = vec!["ReadDataByID".to_owned()];
    })
    .await;
    let engineer = world.log_in("engineer").await;
    let params = json!({ "ecuAddress": "0x10", "dataId": "0xF190" });
    let hanging = engineer.submit("ReadDataByID", params).await;
    let hanging = hanging["command_id"].as_str().unwrap();
    let mut socket = engineer.open(hanging).await;
    assert_eq!(socket.next().await.unwrap()["status"], "in_progress");
    let next = engineer.read_dtc().await;
    let cancelled = cancel(&engineer, hanging).await.expect(200);
    assert_eq!(cancelled["failure_kind"], "cancelled");
    assert_eq!(engineer.ended(&next).await["status"], "completed");
}

#[tokio::test]
async fn cancelling_a_sent_clear_has_an_unknown_outcome() {
    let world = World::with(|settings| {
        settings.connector.mock.hang = true;
        settings.connector.mock.only = vec!["ClearDTC".to_owned()];
    })
    .await;
    let engineer = world.log_in("engineer").await;
    let clear = engineer
        .submit("ClearDTC", json!({ "ecuAddress": "0x10" }))
        .await;
    let id = clear["command_id"].as_str().unwrap();
    let mut socket = engineer.open(id).await;
    assert_eq!(socket.next().await.unwrap()["status"], "in_progress");
    let evidence = socket.next().await.unwrap();
    assert_eq!(evidence["response"]["evidence"], "before");
    // It is sent once the evidence is stored.
    let sql = world.sql().await;
    sovd_tests::within("the clear to be sent", async {
        while sql
            .query_one("SELECT send_count FROM command_queue", &[])
            .await
            .unwrap()
            .get::<_, i32>(0)
            == 0
        {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    })
    .await;
    let cancelled = cancel(&engineer, id).await.expect(200);
    assert_eq!(cancelled["failure_kind"], "outcome_unknown");
    assert_eq!(cancelled["finding"], Value::Null);
    // The next command waits for the probe.
    let next = engineer.read_dtc().await;
    engineer.ended(&next).await;
    let path = format!("/api/v1/commands/{id}");
    let probed = engineer.get(&path).await.expect(200);
    assert_eq!(probed["finding"], "not_cleared");
}

#[tokio::test]
async fn engineers_cancel_their_own_commands_and_admins_any() {
    let world = World::start().await;
    let (engineer, other) = (world.log_in("engineer").await, world.log_in("other").await);
    let id = engineer.read_dtc_offline(3600).await;
    cancel(&other, &id).await.expect_problem(404, "not_found");
    world
        .anonymous()
        .post(&format!("/api/v1/commands/{id}/cancel"), &json!(null))
        .await
        .expect_problem(401, "not_authenticated");
    let admin = world.log_in("admin").await;
    cancel(&admin, &id).await.expect(200);
    let sql = world.sql().await;
    let row = sql
        .query_one(
            "SELECT username FROM audit_logs JOIN users USING (user_id)
             WHERE action = 'command.cancel' AND result = 'done'",
            &[],
        )
        .await
        .unwrap();
    assert_eq!(row.get::<_, String>(0), "admin");
    let unknown = "00000000-0000-0000-0000-00000000abcd";
    cancel(&admin, unknown)
        .await
        .expect_problem(404, "not_found");
    cancel(&admin, "x")
        .await
        .expect_problem(400, "malformed_request");
}

/// Cancels `command_name` at about the time of its completion. Returns whether it was cancelled, the
/// command and its events.
async fn race(client: &Client, vehicle: &str, command_name: &str) -> (bool, Value, Vec<Value>) {
    let body = json!({
        "vehicle_id": vehicle, "command_name": command_name,
        "command_params": { "ecuAddress": "0x10" }, "skip_evidence": command_name == "ClearDTC",
    });
    let command = client.post("/api/v1/commands", &body).await.expect(201);
    let id = command["command_id"].as_str().unwrap();
    let mut socket = client.open(id).await;
    let first = socket.next().await.unwrap();
    let (reply, (mut events, closing)) = tokio::join!(cancel(client, id), socket.rest());
    events.insert(0, first);
    assert_eq!(closing.code, 1000, "{events:?}");
    let is_cancelled = reply.status == 200;
    if !is_cancelled {
        reply.expect_problem(409, "not_cancellable");
    }
    let path = format!("/api/v1/commands/{id}");
    (is_cancelled, client.get(&path).await.expect(200), events)
}

#[tokio::test]
async fn concurrent_cancellation_and_completion_have_one_outcome() {
    const VEHICLES: i32 = 10;
    const ROUNDS: i32 = 20;
    let world = World::with(|settings| {
        // Delays shorter and longer than a cancellation takes, even on a busy machine.
        settings.connector.mock.max_delay_ms = 30;
    })
    .await;
    let engineer = world.log_in("engineer").await;
    let sql = world.sql().await;
    let vehicles = add_vehicles(&sql, "connected", VEHICLES).await;
    let mut cancelled = 0;
    for round in 0..ROUNDS {
        let name = if round % 2 == 0 {
            "ReadDTC"
        } else {
            "ClearDTC"
        };
        let races = vehicles.iter().map(|id| race(&engineer, id, name));
        for (is_cancelled, command, events) in join_all(races).await {
            cancelled += i32::from(is_cancelled);
            let terminal: Vec<&Value> = events
                .iter()
                .filter(|event| matches!(event["status"].as_str(), Some("completed" | "failed")))
                .collect();
            assert_eq!(terminal.len(), 1, "{events:?}");
            assert_eq!(terminal[0], events.last().unwrap());
            assert_eq!(terminal[0]["status"], command["status"], "{events:?}");
            assert_eq!(command["status"] == "failed", is_cancelled, "{command}");
            check_audit(&sql, &command, is_cancelled).await;
        }
    }
    assert!(cancelled > 0, "no cancellation won the race");
    assert!(cancelled < VEHICLES * ROUNDS, "no completion won the race");
}

async fn check_audit(sql: &tokio_postgres::Client, command: &Value, is_cancelled: bool) {
    let id: uuid::Uuid = command["command_id"].as_str().unwrap().parse().unwrap();
    let rows = sql
        .query(
            "SELECT action FROM audit_logs WHERE command_id = $1 AND entity_type = 'command'
               AND action <> 'command.probe'
             ORDER BY action",
            &[&id],
        )
        .await
        .unwrap();
    let actions: Vec<&str> = rows.iter().map(|row| row.get(0)).collect();
    let expected: &[&str] = if is_cancelled {
        &["command.cancel", "command.fail", "command.submit"]
    } else {
        &["command.complete", "command.submit"]
    };
    assert_eq!(actions, expected, "{command}");
}
