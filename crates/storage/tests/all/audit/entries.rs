use serde_json::{Value, json};
use sovd_domain::{AuditEntry, AuditResult, audit::Origin};
use sovd_storage::audit::{self, DeferredEntry};
use uuid::Uuid;

use crate::fixture::{Fleet, at};

#[tokio::test]
async fn stores_every_field_of_an_entry() {
    let fleet = Fleet::new().await;
    let vehicle = fleet.vehicle("VIN1").await;
    let command = fleet.submit(1, vehicle).await;
    let entry = AuditEntry {
        entity_id: Some(command.0),
        user_id: Some(fleet.engineer),
        vehicle_id: Some(vehicle),
        command_id: Some(command),
        details: json!({"command_name": "ReadDTC"}),
        origin: Origin {
            ip_address: Some("2001:db8::1".parse().unwrap()),
            user_agent: Some("curl/8".to_owned()),
            request_id: Some("request-1".to_owned()),
        },
        result: AuditResult::Refused,
        ..AuditEntry::new("command.submit", "command")
    };
    audit::insert(&mut *fleet.connection().await, &entry, at(5))
        .await
        .unwrap();
    let sql = "SELECT to_jsonb(audit_logs) - 'log_id' - 'timestamp' FROM audit_logs
               WHERE timestamp = $1";
    let row = fleet.client.query_one(sql, &[&at(5)]).await.unwrap();
    let expected = json!({
        "user_id": fleet.engineer,
        "vehicle_id": vehicle,
        "command_id": command,
        "action": "command.submit",
        "entity_type": "command",
        "entity_id": command,
        "details": {"command_name": "ReadDTC"},
        "ip_address": "2001:db8::1",
        "user_agent": "curl/8",
        "request_id": "request-1",
        "result": "refused",
        "actor_id": fleet.engineer,
        "subject_vehicle_id": vehicle,
        "subject_command_id": command,
        "position": null,
        "hash": null,
    });
    assert_eq!(row.get::<_, Value>(0), expected);
}

#[tokio::test]
async fn stores_an_entry_without_actor_or_origin() {
    let fleet = Fleet::new().await;
    let entry = AuditEntry::new("session.delete", "session");
    audit::insert(&mut *fleet.connection().await, &entry, at(0))
        .await
        .unwrap();
    let sql = "SELECT jsonb_strip_nulls(to_jsonb(audit_logs) - 'log_id' - 'timestamp')
               FROM audit_logs";
    let row = fleet.client.query_one(sql, &[]).await.unwrap();
    let expected = json!({
        "action": "session.delete", "entity_type": "session", "details": {}, "result": "done",
    });
    assert_eq!(row.get::<_, Value>(0), expected);
}

#[tokio::test]
async fn inserting_a_deferred_entry_twice_has_no_effect() {
    let fleet = Fleet::new().await;
    let mut connection = fleet.connection().await;
    let entries: Vec<DeferredEntry> = (1..=2)
        .map(|number| DeferredEntry {
            log_id: Uuid::from_u128(number),
            at: at(1),
            entry: AuditEntry {
                user_id: Some(fleet.engineer),
                ..AuditEntry::new("access.refuse", "request")
            },
        })
        .collect();
    let (first, _) = entries.split_first().unwrap();
    audit::insert_deferred(&mut connection, &entries[..1])
        .await
        .unwrap();
    audit::insert_deferred(&mut connection, &entries)
        .await
        .unwrap();
    audit::insert_detached(&mut connection, first)
        .await
        .unwrap();
    let count = "SELECT count(*) FROM audit_logs WHERE action = 'access.refuse'";
    let row = fleet.client.query_one(count, &[]).await.unwrap();
    assert_eq!(row.get::<_, i64>(0), 2);
}
