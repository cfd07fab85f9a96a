use serde_json::Value;
use sovd_domain::{CommandId, VehicleId};
use sovd_storage::{
    StorageError,
    commands::queue::{self, Claim, Entry, Expired, Lease, Task},
};

use crate::{
    commands::{
        expiry::expired,
        queue::{claim, claim_one, claimed, ids},
    },
    fixture::{Fleet, at},
};

/// The time at which the probe of [`probed`] expires.
const PROBE_EXPIRY: i64 = 600;

async fn turn_into_probe(fleet: &Fleet, command_id: CommandId) {
    let mut connection = fleet.connection().await;
    queue::turn_into_probe(&mut connection, command_id, at(40), at(PROBE_EXPIRY))
        .await
        .unwrap();
}

/// A vehicle with two commands, the first of which was sent and answered, and is claimed.
async fn answered() -> (Fleet, VehicleId, Claim) {
    let (fleet, vehicle, first) = claimed().await;
    let mut connection = fleet.connection().await;
    queue::postpone(&mut connection, first.command_id, at(1), 2, "no answer")
        .await
        .unwrap();
    queue::mark_answered(&mut connection, first.command_id)
        .await
        .unwrap();
    let claim = claim_one(&fleet, 1).await;
    (fleet, vehicle, claim)
}

/// Like [`answered`], but the outcome of the first command is unknown, and a probe is due at `at(40)`.
async fn probed() -> (Fleet, VehicleId, Claim) {
    let (fleet, vehicle, claim) = answered().await;
    turn_into_probe(&fleet, claim.command_id).await;
    (fleet, vehicle, claim)
}

#[tokio::test]
async fn a_probe_resets_the_entry_and_keeps_its_position() {
    let (fleet, vehicle, first) = answered().await;
    let sql = "UPDATE command_queue SET skip_evidence = true WHERE command_id = $1";
    let changed = fleet.client.execute(sql, &[&first.command_id.0]).await;
    assert_eq!(changed.unwrap(), 1);
    let later = fleet.submit(3, vehicle).await;
    let (before, untouched) = (
        fleet.queued(first.command_id).await,
        fleet.queued(later).await,
    );
    turn_into_probe(&fleet, first.command_id).await;

    let after = fleet.queued(first.command_id).await;
    for (column, value) in after.as_object().unwrap() {
        let expected = match column.as_str() {
            "task" => "probe".into(),
            "attempt" | "send_count" => 0.into(),
            "is_answered" => false.into(),
            "last_error" | "lease_id" | "lease_expires_at" => Value::Null,
            "due_at" | "expires_at" | "ready_at" => continue,
            _ => before[column].clone(),
        };
        assert_eq!(*value, expected, "{column}");
    }
    assert_eq!(fleet.queued(later).await, untouched);
}

#[tokio::test]
async fn a_probe_is_claimed_before_later_commands() {
    let (fleet, _, last) = probed().await;
    assert_eq!(ids(&claim(&fleet, 39, 10).await), []);
    let probe = claim_one(&fleet, 40).await;
    assert_eq!(probe.command_id, last.command_id);
    let expected = Entry {
        task: Task::Probe,
        attempt: 0,
        send_count: 0,
        is_answered: false,
        skip_evidence: false,
        expires_at: at(PROBE_EXPIRY),
        lease: Some(Lease {
            id: probe.lease_id,
            until: at(70),
        }),
        is_cancelled: false,
    };
    assert_eq!(probe.entry, expected);
    let mut connection = fleet.connection().await;
    queue::remove(&mut connection, probe.command_id)
        .await
        .unwrap();
    let next = claim_one(&fleet, 40).await;
    assert_ne!(next.command_id, last.command_id);
    assert_eq!(next.entry.task, Task::Command);
}

#[tokio::test]
async fn turning_into_a_probe_ends_the_claim() {
    let (fleet, _, last) = probed().await;
    let mut connection = fleet.connection().await;
    assert!(!queue::hold(&mut connection, &last).await.unwrap());
    assert!(!queue::renew(&mut connection, &last, at(99)).await.unwrap());
}

#[tokio::test]
async fn a_probe_waits_for_the_connection_of_its_vehicle() {
    let (fleet, vehicle, last) = probed().await;
    fleet.set_status(vehicle, "disconnected").await;
    assert_eq!(ids(&claim(&fleet, 40, 10).await), []);
    fleet.set_status(vehicle, "connected").await;
    assert_eq!(ids(&claim(&fleet, 40, 10).await), [last.command_id]);
}

#[tokio::test]
async fn an_expired_probe_is_listed_as_a_probe() {
    let (fleet, _, last) = probed().await;
    assert_eq!(expired(&fleet, PROBE_EXPIRY - 1, 10).await, []);
    let mut probe = [Expired {
        command_id: last.command_id,
        task: Task::Probe,
        // The error of the command does not concern the probe.
        last_error: None,
    }];
    assert_eq!(expired(&fleet, PROBE_EXPIRY, 10).await, probe);
    let mut connection = fleet.connection().await;
    queue::postpone(&mut connection, last.command_id, at(50), 0, "no route")
        .await
        .unwrap();
    probe[0].last_error = Some("no route".to_owned());
    assert_eq!(expired(&fleet, PROBE_EXPIRY, 10).await, probe);
}

#[tokio::test]
async fn an_unreadable_task_is_reported_and_skipped() {
    let (fleet, _, first) = claimed().await;
    fleet
        .client
        .batch_execute(
            "ALTER TABLE command_queue DROP CONSTRAINT chk_command_queue_task;
             UPDATE command_queue SET task = 'nap' WHERE lease_id IS NOT NULL",
        )
        .await
        .unwrap();
    let mut connection = fleet.connection().await;
    match queue::lock(&mut connection, first.command_id).await {
        Err(StorageError::CorruptRow {
            table, column, row, ..
        }) => assert_eq!(
            (table, column, row),
            ("command_queue", "task", first.command_id.to_string())
        ),
        other => panic!("{other:?}"),
    }
    // Tasks of a newer version are skipped and do not block others.
    assert_eq!(ids(&claim(&fleet, 30, 10).await), []);
    assert_eq!(expired(&fleet, 9999, 10).await.len(), 1);
}
