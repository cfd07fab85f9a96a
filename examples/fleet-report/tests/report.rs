//! The report on a seeded database with one anomaly and one command.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::Command as Process;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use sovd_devstack::{Stack, TestDatabase};
use sovd_domain::{
    Anomaly, AnomalyId, Command, CommandId, CommandStatus, Random, SeededRandom, Severity, Vehicle,
};
use sovd_storage::{
    Database, PoolSettings, StorageError, commands, fleet::vehicles, maintenance::anomalies,
    migrations, seeds,
};

async fn prepare(url: &str) -> Result<(), StorageError> {
    migrations::up(url).await?;
    seeds::insert(url).await
}

fn anomaly(vehicle: &Vehicle, detected_at: DateTime<Utc>) -> Anomaly {
    Anomaly {
        id: AnomalyId(SeededRandom::new(1).uuid()),
        vehicle_id: vehicle.vehicle_id,
        detected_at,
        anomaly_type: "emissions".to_owned(),
        severity: Severity::High,
        sensor_snapshot: None,
        rul_prediction: None,
        component_name: None,
        source: None,
        closure: None,
    }
}

fn command(vehicle: &Vehicle, submitted_at: DateTime<Utc>) -> Command {
    Command {
        command_id: CommandId(SeededRandom::new(2).uuid()),
        // The seeded administrator.
        user_id: "00000000-0000-0000-0000-000000000001".parse().unwrap(),
        vehicle_id: vehicle.vehicle_id,
        command_name: "ReadDTC".to_owned(),
        command_params: json!({ "ecuAddress": "0x10" }),
        status: CommandStatus::Pending,
        failure_kind: None,
        error_message: None,
        submitted_at,
        started_at: None,
        completed_at: None,
        expires_at: submitted_at + TimeDelta::hours(1),
        finding: None,
    }
}

async fn insert_open_work(database: &TestDatabase) {
    let pool = PoolSettings {
        size: 1,
        overflow: 0,
        checkout_timeout: std::time::Duration::from_secs(10),
        statement_timeout: std::time::Duration::from_secs(10),
    };
    let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
    let id = "00000000-0000-0000-0000-000000000101".parse().unwrap();
    let mut transaction = Database::new(database.url(), pool).begin().await.unwrap();
    let vehicle = vehicles::find(&mut transaction, id).await;
    let vehicle = vehicle.unwrap().unwrap();
    anomalies::insert(&mut transaction, &anomaly(&vehicle, now))
        .await
        .unwrap();
    commands::insert(&mut transaction, &command(&vehicle, now))
        .await
        .unwrap();
    transaction.commit().await.unwrap();
}

#[tokio::test]
async fn prints_open_commands_and_anomalies_of_each_vehicle() {
    let stack = Stack::shared().unwrap();
    let database = stack.test_database("seeded", prepare).await.unwrap();
    insert_open_work(&database).await;
    let output = Process::new(env!("CARGO_BIN_EXE_sovd-example-fleet-report"))
        .env("DATABASE_URL", database.url())
        .output()
        .unwrap();
    let report = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{report}");
    let expected = "\
        TESTVIN0000000001 connected    1 open commands, 1 open anomalies\n    \
            2027-01-15 High     emissions\n\
        TESTVIN0000000002 disconnected 0 open commands, 0 open anomalies\n";
    assert!(report.starts_with(expected), "{report}");
}
