use serde_json::{Value, json};
use sovd_app::{Settings, settings::MockFailure};
use sovd_tests::{CONNECTED, World};

/// Runs a command in a world with changed settings. Returns the command, its last event and its
/// responses.
async fn run(command_name: &str, change: impl FnOnce(&mut Settings)) -> (Value, Value, Vec<Value>) {
    let world = World::with(change).await;
    let engineer = world.log_in("engineer").await;
    let command = engineer
        .submit(command_name, json!({ "ecuAddress": "0x10" }))
        .await;
    let id = command["command_id"].as_str().unwrap();
    let (events, closing) = engineer.watch(id).await;
    assert_eq!(closing.code, 1000);
    let stored = engineer
        .get(&format!("/api/v1/commands/{id}"))
        .await
        .expect(200);
    let responses = engineer
        .get(&format!("/api/v1/commands/{id}/responses"))
        .await
        .expect(200);
    let event = events.last().unwrap().clone();
    (stored, event, responses.as_array().unwrap().clone())
}

#[tokio::test]
async fn failures_have_a_kind_and_a_message() {
    for (command_name, failure, kind) in [
        ("ReadDTC", MockFailure::Rejected, "rejected"),
        ("ClearDTC", MockFailure::Rejected, "rejected"),
        ("ReadDTC", MockFailure::Timeout, "timeout"),
        ("ClearDTC", MockFailure::Timeout, "outcome_unknown"),
        ("ReadDTC", MockFailure::Broken, "outcome_unknown"),
        ("ClearDTC", MockFailure::Broken, "outcome_unknown"),
    ] {
        let (stored, event, _) = run(command_name, |settings| {
            settings.connector.mock.failure = failure;
            settings.connector.mock.only = vec![command_name.to_owned()];
        })
        .await;
        assert_eq!(stored["status"], "failed", "{command_name} {kind}");
        assert_eq!(stored["failure_kind"], kind, "{command_name}");
        assert!(!stored["error_message"].as_str().unwrap().is_empty());
        assert_eq!(event["event"], "error");
        assert_eq!(event["status"], "failed");
        for field in ["failure_kind", "error_message", "completed_at"] {
            assert_eq!(event[field], stored[field], "{field}");
        }
    }
}

#[tokio::test]
async fn an_unreachable_vehicle_is_retried_until_the_command_expires() {
    for command_name in ["ReadDTC", "ClearDTC"] {
        let world = World::with(|settings| {
            settings.connector.mock.failure = MockFailure::Unreachable;
            settings.dispatch.sweep_ms = 50;
        })
        .await;
        let engineer = world.log_in("engineer").await;
        let body = json!({
            "vehicle_id": CONNECTED, "command_name": command_name,
            "command_params": { "ecuAddress": "0x10" }, "expires_in_seconds": 1,
        });
        let command = engineer.post("/api/v1/commands", &body).await.expect(201);
        let stored = engineer
            .ended(command["command_id"].as_str().unwrap())
            .await;
        assert_eq!(stored["failure_kind"], "expired", "{command_name}");
        let message = stored["error_message"].as_str().unwrap();
        assert!(message.contains("could not be reached"), "{message}");
    }
}

#[tokio::test]
async fn a_response_without_final_chunk_has_an_unknown_outcome() {
    let (stored, event, responses) = run("ReadDTC", |settings| {
        settings.connector.mock.chunks = 3;
        settings.connector.mock.lose_final = true;
    })
    .await;
    assert_eq!(stored["failure_kind"], "outcome_unknown");
    assert_eq!(event["event"], "error");
    let numbers: Vec<_> = responses
        .iter()
        .map(|response| response["sequence_number"].as_i64().unwrap())
        .collect();
    assert_eq!(
        numbers,
        [1, 2, 3, 4, 5, 6],
        "two chunks of each of three attempts"
    );
    assert!(
        responses
            .iter()
            .all(|response| response["is_final"] == false)
    );
}

#[tokio::test]
async fn a_command_expires_unsent() {
    let world = World::with(|settings| settings.dispatch.sweep_ms = 50).await;
    let engineer = world.log_in("engineer").await;
    let id = engineer.read_dtc_offline(1).await;
    let (events, closing) = engineer.watch(&id).await;
    assert_eq!(closing.code, 1000);
    assert_eq!(events.len(), 1, "no status before the failure");
    assert_eq!(events[0]["failure_kind"], "expired");
    let stored = engineer
        .get(&format!("/api/v1/commands/{id}"))
        .await
        .expect(200);
    assert_eq!(stored["started_at"], Value::Null);
}

#[tokio::test]
async fn an_unknown_connector_is_an_internal_failure() {
    let world = World::start().await;
    let sql = world.sql().await;
    sql.execute(
        "UPDATE vehicles SET metadata = '{\"connector\": \"carrier-pigeon\"}'",
        &[],
    )
    .await
    .unwrap();
    let engineer = world.log_in("engineer").await;
    let id = engineer.read_dtc().await;
    let command = engineer.ended(&id).await;
    assert_eq!(command["failure_kind"], "internal");
    assert!(
        command["error_message"]
            .as_str()
            .unwrap()
            .contains("carrier-pigeon")
    );
}

#[tokio::test]
async fn a_command_expires_while_others_keep_the_dispatcher_busy() {
    let world = World::with(|settings| settings.dispatch.sweep_ms = 500).await;
    let engineer = world.log_in("engineer").await;
    let id = engineer.read_dtc_offline(1).await;
    let mut socket = engineer.open(&id).await;
    let busy = async {
        loop {
            engineer.read_dtc().await;
        }
    };
    tokio::select! {
        event = socket.next() => assert_eq!(event.unwrap()["failure_kind"], "expired"),
        () = busy => {}
    }
}
