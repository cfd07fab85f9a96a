//! Detection of anomalies in reported faults.

use std::fs;

use serde_json::{Value, json};
use sovd_tests::{CONNECTED, World};
use tempfile::NamedTempFile;

/// Returns the anomalies of the connected vehicle, ordered by code.
async fn anomalies(world: &World) -> Vec<Value> {
    let sql = "SELECT to_jsonb(episode) || to_jsonb(event)
               FROM anomaly_episodes AS episode
               JOIN anomaly_events AS event ON id = anomaly_event_id
               WHERE episode.vehicle_id::text = $1 ORDER BY dtc_code";
    let rows = world.sql().await.query(sql, &[&CONNECTED]).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

async fn codes(world: &World) -> Vec<String> {
    let anomalies = anomalies(world).await;
    let codes = anomalies.iter().map(|anomaly| &anomaly["dtc_code"]);
    codes
        .map(|code| code.as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn reading_faults_detects_anomalies() {
    let world = World::with(|settings| settings.connector.mock.chunks = 3).await;
    let (engineer, admin) = (world.log_in("engineer").await, world.log_in("admin").await);
    let command_id = engineer.read_dtc().await;
    assert_eq!(engineer.ended(&command_id).await["status"], "completed");
    world.wait_for_detection().await;
    let anomalies = anomalies(&world).await;
    assert_eq!(codes(&world).await, ["P0301", "P0420", "U0100"]);
    let responses = format!("/api/v1/commands/{command_id}/responses");
    let responses = engineer.get(&responses).await.expect(200);
    // The simulated vehicle reports P0420 in its first chunk.
    assert_eq!(anomalies[1]["response_id"], responses[0]["response_id"]);
    assert_eq!(anomalies[1]["command_id"], json!(command_id));
    assert_eq!(anomalies[1]["rule_name"], "catalyst-efficiency");
    assert_eq!(anomalies[1]["component_name"], "catalytic converter");
    assert_eq!(anomalies[1]["anomaly_type"], "emissions");
    assert_eq!(anomalies[1]["severity"], "Medium");
    assert_eq!(
        anomalies[1]["sensor_snapshot"],
        json!({ "ecu_address": "0x10", "code": "P0420", "status": "confirmed" })
    );

    let audited = "/api/v1/audit-logs?action=anomaly.detect";
    let audited = admin.get(audited).await.expect(200);
    let entries = audited["audit_logs"].as_array().unwrap();
    assert_eq!(entries.len(), 3);
    for entry in entries {
        assert_eq!(entry["vehicle_id"], CONNECTED);
        assert_eq!(entry["command_id"], json!(command_id));
        assert_eq!(entry["user_id"], Value::Null);
        let mut ids = anomalies.iter().map(|anomaly| &anomaly["id"]);
        assert!(ids.any(|id| *id == entry["entity_id"]), "{entry}");
    }
}

#[tokio::test]
async fn repeated_reads_on_two_nodes_detect_each_code_once() {
    let world = World::start().await;
    let beside = world.beside(|_| {}).await;
    let here = world.log_in("engineer").await;
    let there = here.at(beside.address());
    for _ in 0..5 {
        let (one, other) = tokio::join!(here.read_dtc(), there.read_dtc());
        for (client, command_id) in [(&here, one), (&there, other)] {
            assert_eq!(client.ended(&command_id).await["status"], "completed");
        }
    }
    world.wait_for_detection().await;
    assert_eq!(codes(&world).await, ["P0301", "P0420", "U0100"]);
}

#[tokio::test]
async fn detects_a_code_again_after_its_anomaly_is_closed() {
    let world = World::start().await;
    let engineer = world.log_in("engineer").await;
    let read = async || {
        let command_id = engineer.read_dtc().await;
        engineer.ended(&command_id).await;
        world.wait_for_detection().await;
    };
    read().await;
    let sql = "UPDATE anomaly_episodes SET outcome = 'no_fault_found', closed_at = now()
               WHERE dtc_code = 'P0420'";
    world.sql().await.batch_execute(sql).await.unwrap();
    read().await;
    read().await;
    assert_eq!(codes(&world).await, ["P0301", "P0420", "P0420", "U0100"]);
}

#[tokio::test]
async fn a_rules_file_replaces_the_built_in_rules() {
    let file = NamedTempFile::new().unwrap();
    let rules = r#"
        [[rule]]
        name = "engine"
        patterns = ["P04..", "U3..."]
        anomaly_type = "engine"
        severity = "Critical"
        component = "engine"
    "#;
    fs::write(file.path(), rules).unwrap();
    let path = file.path().to_owned();
    let world = World::with(|settings| settings.maintenance.anomaly_rules = Some(path)).await;
    let engineer = world.log_in("engineer").await;
    let command_id = engineer.read_dtc().await;
    engineer.ended(&command_id).await;
    world.wait_for_detection().await;
    let anomalies = anomalies(&world).await;
    assert_eq!(codes(&world).await, ["P0420"]);
    assert_eq!(anomalies[0]["rule_name"], "engine");
    assert_eq!(anomalies[0]["severity"], "Critical");
    let detectors = engineer.get("/api/v1/insights/detectors").await.expect(200);
    assert_eq!(detectors.as_array().unwrap().len(), 1);
    assert_eq!(detectors[0]["rule"], "engine");
}
