use serde_json::{Value, json};
use sovd_tests::{OFFLINE, World};

use crate::commands::connect_vehicles;

const COMMANDS: &str = "/api/v1/commands";

fn to_offline(command_name: &str) -> Value {
    json!({
        "vehicle_id": OFFLINE, "command_name": command_name,
        "command_params": { "ecuAddress": "0x10" },
    })
}

#[tokio::test]
async fn only_reads_wait_without_queue_if_offline() {
    let world = World::with(|settings| settings.dispatch.sweep_ms = 60_000).await;
    let engineer = world.log_in("engineer").await;
    let mut clear = to_offline("ClearDTC");
    engineer
        .post(COMMANDS, &clear)
        .await
        .expect_problem(409, "vehicle_offline");
    clear["queue_if_offline"] = json!(false);
    engineer
        .post(COMMANDS, &clear)
        .await
        .expect_problem(409, "vehicle_offline");
    clear["queue_if_offline"] = json!(true);
    let clear = engineer.post(COMMANDS, &clear).await.expect(201);
    let read = engineer
        .post(COMMANDS, &to_offline("ReadDTC"))
        .await
        .expect(201);
    for command in [&clear, &read] {
        let path = format!("{COMMANDS}/{}", command["command_id"].as_str().unwrap());
        assert_eq!(engineer.get(&path).await.expect(200)["status"], "pending");
    }

    // The next sweep is a minute away, so only the connection of the vehicle wakes the dispatcher.
    connect_vehicles(&world).await;
    for command in [&clear, &read] {
        let ended = engineer
            .ended(command["command_id"].as_str().unwrap())
            .await;
        assert_eq!(ended["status"], "completed");
    }
}

#[tokio::test]
async fn the_expiry_depends_on_the_risk_unless_given() {
    let world = World::start().await;
    let engineer = world.log_in("engineer").await;
    let wait = async |body: &Value| {
        let command = engineer.post(COMMANDS, body).await.expect(201);
        let moment = |field: &str| -> chrono::DateTime<chrono::Utc> {
            command[field].as_str().unwrap().parse().unwrap()
        };
        (moment("expires_at") - moment("submitted_at")).num_seconds()
    };
    assert_eq!(wait(&to_offline("ReadDTC")).await, 3600);
    let mut clear = to_offline("ClearDTC");
    clear["queue_if_offline"] = json!(true);
    assert_eq!(wait(&clear).await, 300);
    for seconds in [1, 604_800] {
        clear["expires_in_seconds"] = json!(seconds);
        assert_eq!(wait(&clear).await, seconds);
    }
    for seconds in [0, 604_801, -1] {
        clear["expires_in_seconds"] = json!(seconds);
        engineer.post(COMMANDS, &clear).await.expect_bad_field(
            422,
            "validation_failed",
            "/expires_in_seconds",
        );
    }
}
