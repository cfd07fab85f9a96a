use std::collections::BTreeSet;

use futures_util::future::join_all;
use serde_json::{Value, json};
use sovd_domain::{AnomalyId, Random, ResponseId, RuleBook, SystemRandom, VehicleId};
use sovd_storage::{
    commands::responses,
    maintenance::{
        detections::{self, Match, Reading},
        insights::{self, RuleOutcomes},
    },
};
use uuid::Uuid;

use crate::fixture::{Fleet, at, command};

const RULES: &str = r#"
    [[rule]]
    name = "catalyst"
    patterns = ["P04.."]
    anomaly_type = "emissions"
    severity = "Medium"
    component = "catalytic converter"

    [[rule]]
    name = "network"
    patterns = ["U...."]
    anomaly_type = "communication"
    severity = "High"
    component = "vehicle network"
"#;

fn rules() -> RuleBook {
    RULES.parse().unwrap()
}

/// Stores a command with one response.
async fn reading(fleet: &Fleet, vehicle_id: VehicleId, number: u128) -> (Reading, ResponseId) {
    let command = command(number, fleet.engineer, vehicle_id, at(0));
    fleet.store(&command).await;
    let response = sovd_domain::Response {
        response_id: ResponseId(Uuid::from_u128(number)),
        command_id: command.command_id,
        response_payload: json!({}),
        sequence_number: 1,
        is_final: true,
        received_at: at(1),
    };
    responses::insert(&mut *fleet.connection().await, &response)
        .await
        .unwrap();
    let reading = Reading {
        vehicle_id,
        command_id: command.command_id,
    };
    (reading, response.response_id)
}

fn matches<'a>(rules: &'a RuleBook, codes: &[&str], response_id: ResponseId) -> Vec<Match<'a>> {
    let found = codes.iter().map(|code| {
        let dtc = code.parse().unwrap();
        Match {
            read_at: at(2),
            anomaly_id: AnomalyId(SystemRandom.uuid()),
            rule: rules.first_match(&dtc).unwrap(),
            dtc,
            response_id,
            sensor_snapshot: json!({ "code": code }),
        }
    });
    found.collect()
}

async fn insert(fleet: &Fleet, reading: (Reading, ResponseId), codes: &[&str]) -> Vec<AnomalyId> {
    let rules = rules();
    let matches = matches(&rules, codes, reading.1);
    detections::insert(&mut *fleet.connection().await, reading.0, matches)
        .await
        .unwrap()
}

async fn close(fleet: &Fleet, code: &str, outcome: &str) {
    let sql = "UPDATE anomaly_episodes SET outcome = $2, closed_at = now()
               WHERE dtc_code = $1 AND closed_at IS NULL";
    let closed = fleet.client.execute(sql, &[&code, &outcome]).await;
    assert_eq!(closed.unwrap(), 1);
}

#[tokio::test]
async fn inserts_an_anomaly_with_its_source_per_code() {
    let fleet = Fleet::new().await;
    let vehicle_id = fleet.vehicle("VIN1").await;
    let reading = reading(&fleet, vehicle_id, 1).await;
    let ids = insert(&fleet, reading, &["U0100", "P0420-11"]).await;
    assert_eq!(ids.len(), 2);
    let sql = "SELECT to_jsonb(event) || jsonb_build_object('episode', to_jsonb(episode))
               FROM anomaly_events AS event
               JOIN anomaly_episodes AS episode ON anomaly_event_id = id
               ORDER BY dtc_code";
    let rows = fleet.client.query(sql, &[]).await.unwrap();
    let rows: Vec<Value> = rows.iter().map(|row| row.get(0)).collect();
    assert_eq!(rows.len(), 2);
    let anomaly = &rows[0];
    let id = anomaly["id"].clone();
    assert!(ids.iter().any(|written| json!(written) == id));
    let expected = json!({
        "id": id, "vehicle_id": vehicle_id, "detected_at": anomaly["detected_at"],
        "anomaly_type": "emissions", "severity": "Medium",
        "sensor_snapshot": { "code": "P0420-11" }, "rul_prediction": null,
        "episode": {
            "anomaly_event_id": id, "vehicle_id": vehicle_id, "rule_name": "catalyst",
            "component_name": "catalytic converter", "dtc_code": "P0420-11",
            "command_id": reading.0.command_id, "response_id": reading.1,
            "outcome": null, "closed_at": null,
        },
    });
    assert_eq!(*anomaly, expected);
    assert_eq!(rows[1]["anomaly_type"], "communication");
    let sql = "SELECT count(*) FROM anomaly_events WHERE detected_at = $1";
    let dated = fleet.client.query_one(sql, &[&at(2)]).await.unwrap();
    assert_eq!(dated.get::<_, i64>(0), 2);
}

#[tokio::test]
async fn skips_codes_with_an_open_episode() {
    let fleet = Fleet::new().await;
    let vehicle_id = fleet.vehicle("VIN1").await;
    let first = reading(&fleet, vehicle_id, 1).await;
    let second = reading(&fleet, vehicle_id, 2).await;
    assert_eq!(insert(&fleet, first, &["P0420"]).await.len(), 1);
    assert_eq!(insert(&fleet, second, &["P0420"]).await, []);
    assert_eq!(insert(&fleet, second, &["P0420", "P0430"]).await.len(), 1);
    close(&fleet, "P0420", "confirmed").await;
    assert_eq!(insert(&fleet, second, &["P0420", "P0430"]).await.len(), 1);
    assert_eq!(fleet.count("anomaly_events").await, 3);
    assert_eq!(fleet.count("anomaly_episodes").await, 3);

    let elsewhere = fleet.vehicle("VIN2").await;
    let elsewhere = reading(&fleet, elsewhere, 3).await;
    assert_eq!(insert(&fleet, elsewhere, &["P0420"]).await.len(), 1);
    assert_eq!(insert(&fleet, elsewhere, &[]).await, []);
}

#[tokio::test]
async fn concurrent_inserts_write_each_code_once() {
    let fleet = Fleet::new().await;
    let vehicle_id = fleet.vehicle("VIN1").await;
    let codes: Vec<String> = (0..40).map(|number| format!("P04{number:02}")).collect();
    let mut readings = Vec::new();
    for number in 1..=20 {
        readings.push(reading(&fleet, vehicle_id, number).await);
    }
    let rules = rules();
    let inserts = readings.iter().enumerate().map(async |(index, reading)| {
        let mut codes: Vec<&str> = codes.iter().map(String::as_str).collect();
        // Each insert has the codes in a different order.
        codes.rotate_left(index * 7 % 40);
        if index % 2 == 0 {
            codes.reverse();
        }
        let matches = matches(&rules, &codes, reading.1);
        let mut transaction = fleet.pool.begin().await.unwrap();
        let written = detections::insert(&mut transaction, reading.0, matches)
            .await
            .unwrap();
        transaction.commit().await.unwrap();
        written
    });
    let written: Vec<AnomalyId> = join_all(inserts).await.concat();
    assert_eq!(written.len(), 40);
    let unique: BTreeSet<AnomalyId> = written.into_iter().collect();
    assert_eq!(unique.len(), 40);
    assert_eq!(fleet.count("anomaly_events").await, 40);
    assert_eq!(fleet.count("anomaly_episodes").await, 40);
}

#[tokio::test]
async fn skips_codes_read_before_their_episode_was_closed() {
    let fleet = Fleet::new().await;
    let vehicle_id = fleet.vehicle("VIN1").await;
    let reading = reading(&fleet, vehicle_id, 1).await;
    assert_eq!(insert(&fleet, reading, &["P0420"]).await.len(), 1);
    for (closed_at, written) in [(at(3), 0), (at(2), 0), (at(1), 1)] {
        let sql = "UPDATE anomaly_episodes SET outcome = 'confirmed', closed_at = $1";
        fleet.client.execute(sql, &[&closed_at]).await.unwrap();
        let found = insert(&fleet, reading, &["P0420"]).await;
        assert_eq!(found.len(), written, "{closed_at}");
    }
}

#[tokio::test]
async fn counts_the_anomalies_of_a_rule_by_outcome() {
    let fleet = Fleet::new().await;
    let vehicle_id = fleet.vehicle("VIN1").await;
    let reading = reading(&fleet, vehicle_id, 1).await;
    let codes = ["P0420", "P0421", "P0422", "P0423", "P0424", "U0100"];
    insert(&fleet, reading, &codes).await;
    close(&fleet, "P0420", "confirmed").await;
    close(&fleet, "P0421", "confirmed").await;
    close(&fleet, "P0422", "no_fault_found").await;
    close(&fleet, "P0423", "other").await;
    // A reported anomaly belongs to no rule.
    let sql = "UPDATE anomaly_episodes SET rule_name = NULL WHERE dtc_code = 'U0100'";
    fleet.client.execute(sql, &[]).await.unwrap();
    let outcomes = insights::rule_outcomes(&mut *fleet.connection().await).await;
    let expected = RuleOutcomes {
        rule_name: "catalyst".to_owned(),
        detected: 5,
        open: 1,
        confirmed: 2,
        no_fault_found: 1,
        other: 1,
    };
    assert_eq!(outcomes.unwrap(), [expected]);
}
