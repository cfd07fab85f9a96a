use serde_json::json;
use sovd_domain::{AuditEntry, CommandId, VehicleId};
use sovd_storage::{audit, commands::responses, identity::sessions};
use uuid::Uuid;

use crate::{
    commands::{idempotency::remember_since, responses::chunk},
    fixture::{Fleet, at},
    identity::sessions::session,
};

/// Adds one row of every table that refers to a user or a vehicle.
async fn with_history() -> (Fleet, VehicleId, CommandId) {
    let fleet = Fleet::new().await;
    let vehicle = fleet.vehicle("VIN1").await;
    let command = fleet.submit(1, vehicle).await;
    let mut connection = fleet.connection().await;
    responses::insert(&mut connection, &chunk(command, 1))
        .await
        .unwrap();
    sessions::insert(&mut connection, &session(1, fleet.engineer), "hash")
        .await
        .unwrap();
    let entry = AuditEntry {
        entity_id: Some(command.0),
        user_id: Some(fleet.engineer),
        vehicle_id: Some(vehicle),
        command_id: Some(command),
        details: json!({"command_name": "ReadDTC"}),
        ..AuditEntry::new("command.submit", "command")
    };
    audit::insert(&mut connection, &entry, at(0)).await.unwrap();
    let key = (fleet.engineer, "key");
    let known = remember_since(&mut connection, key, 1, 0, 0).await;
    assert_eq!(known, None);
    drop(connection);
    (fleet, vehicle, command)
}

async fn counts(fleet: &Fleet) -> [i64; 8] {
    let mut counts = [0; 8];
    let tables = [
        "users",
        "vehicles",
        "commands",
        "command_queue",
        "responses",
        "sessions",
        "audit_logs",
        "idempotency_keys",
    ];
    for (count, table) in counts.iter_mut().zip(tables) {
        *count = fleet.count(table).await;
    }
    counts
}

/// Returns the references of the only audit entry: user, vehicle, command and entity.
async fn trail(fleet: &Fleet) -> [Option<Uuid>; 4] {
    let sql = "SELECT user_id, vehicle_id, command_id, entity_id FROM audit_logs";
    let row = fleet.client.query_one(sql, &[]).await.unwrap();
    [row.get(0), row.get(1), row.get(2), row.get(3)]
}

#[tokio::test]
async fn deleting_a_user_deletes_its_rows_except_audit_entries() {
    let (fleet, vehicle, command) = with_history().await;
    assert_eq!(counts(&fleet).await, [1, 1, 1, 1, 1, 1, 1, 1]);
    fleet
        .client
        .batch_execute("DELETE FROM users")
        .await
        .unwrap();
    assert_eq!(counts(&fleet).await, [0, 1, 0, 0, 0, 0, 1, 0]);
    assert_eq!(
        trail(&fleet).await,
        [None, Some(vehicle.0), None, Some(command.0)]
    );
}

#[tokio::test]
async fn deleting_a_vehicle_deletes_its_commands_except_audit_entries() {
    let (fleet, _, command) = with_history().await;
    fleet
        .client
        .batch_execute("DELETE FROM vehicles")
        .await
        .unwrap();
    assert_eq!(counts(&fleet).await, [1, 0, 0, 0, 0, 1, 1, 0]);
    let engineer = fleet.engineer.0;
    assert_eq!(
        trail(&fleet).await,
        [Some(engineer), None, None, Some(command.0)]
    );
}

#[tokio::test]
async fn deleting_a_command_deletes_its_responses_queue_entry_and_key() {
    let (fleet, vehicle, command) = with_history().await;
    fleet
        .client
        .batch_execute("DELETE FROM commands")
        .await
        .unwrap();
    assert_eq!(counts(&fleet).await, [1, 1, 0, 0, 0, 1, 1, 0]);
    let engineer = fleet.engineer.0;
    assert_eq!(
        trail(&fleet).await,
        [Some(engineer), Some(vehicle.0), None, Some(command.0)]
    );
}
