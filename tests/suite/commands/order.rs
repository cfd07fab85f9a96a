use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use futures_util::future::join_all;
use serde_json::{Value, json};
use sovd_tests::{CONNECTED, Client, World};

use crate::commands::add_vehicles;

fn time(command: &Value, field: &str) -> DateTime<Utc> {
    command[field].as_str().unwrap().parse().unwrap()
}

async fn send(client: &Client, vehicle: &str, name: &str) -> String {
    let mut params = json!({ "ecuAddress": "0x10" });
    if name == "ReadDataByID" {
        params["dataId"] = json!("0xF190");
    }
    let body = json!({
        "vehicle_id": vehicle, "command_name": name, "command_params": params,
        "skip_evidence": name == "ClearDTC",
    });
    let command = client.post("/api/v1/commands", &body).await.expect(201);
    command["command_id"].as_str().unwrap().to_owned()
}

/// Adds a second connected vehicle.
async fn other_vehicle(world: &World) -> String {
    add_vehicles(&world.sql().await, "connected", 1)
        .await
        .remove(0)
}

#[tokio::test]
async fn commands_run_serially_per_vehicle_and_concurrently_across_vehicles() {
    let world = World::with(|settings| {
        settings.connector.mock.min_delay_ms = 5;
        settings.connector.mock.max_delay_ms = 20;
    })
    .await;
    let engineer = world.log_in("engineer").await;
    let other = other_vehicle(&world).await;
    let names = ["ReadDTC", "ReadDataByID", "ClearDTC"];
    let mut runs: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for number in 0..50 {
        for vehicle in [CONNECTED, &other] {
            let id = send(&engineer, vehicle, names[number % names.len()]).await;
            runs.entry(vehicle).or_default().push(id);
        }
    }
    let mut spans: Vec<Vec<(DateTime<Utc>, DateTime<Utc>)>> = Vec::new();
    for ids in runs.values() {
        let ended = join_all(ids.iter().map(|id| engineer.ended(id))).await;
        for pair in ended.windows(2) {
            let (end, start) = (time(&pair[0], "completed_at"), time(&pair[1], "started_at"));
            assert!(end <= start, "{} and {}", pair[0], pair[1]);
        }
        assert!(ended.iter().all(|command| command["status"] == "completed"));
        let span = |command| (time(command, "started_at"), time(command, "completed_at"));
        spans.push(ended.iter().map(span).collect::<Vec<_>>());
    }
    let overlaps = spans[0]
        .iter()
        .flat_map(|one| spans[1].iter().map(move |other| (one, other)))
        .filter(|(one, other)| one.0 < other.1 && other.0 < one.1);
    assert!(
        overlaps.count() > 0,
        "the commands of the two vehicles do not overlap"
    );
}

#[tokio::test]
async fn a_hanging_vehicle_does_not_block_others() {
    let world = World::with(|settings| {
        settings.connector.mock.hang = true;
        settings.connector.mock.only = vec!["ReadDataByID".to_owned()];
    })
    .await;
    let engineer = world.log_in("engineer").await;
    let other = other_vehicle(&world).await;
    let hanging = send(&engineer, CONNECTED, "ReadDataByID").await;
    let behind = send(&engineer, CONNECTED, "ReadDTC").await;
    for _ in 0..20 {
        let id = send(&engineer, &other, "ReadDTC").await;
        assert_eq!(engineer.ended(&id).await["status"], "completed");
    }
    for (id, status) in [(hanging, "in_progress"), (behind, "pending")] {
        let path = format!("/api/v1/commands/{id}");
        assert_eq!(engineer.get(&path).await.expect(200)["status"], status);
    }
}
