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

/// The moment at which the probe of [`dark`] expires.
const PROBE_EXPIRY: i64 = 600;

async fn turn_into_probe(fleet: &Fleet, command_id: CommandId) {
    let mut connection = fleet.connection().await;
    queue::turn_into_probe(&mut connection, command_id, at(40), at(PROBE_EXPIRY))
        .await
        .unwrap();
}

/// A vehicle with two commands, the first of which was tried, sent and answered, and is claimed.
async fn tried() -> (Fleet, VehicleId, Claim) {
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

/// The same, after the first command has ended in the dark and become a probe, due at `at(40)`.
async fn dark() -> (Fleet, VehicleId, Claim) {
    let (fleet, vehicle, claim) = tried().await;
    turn_into_probe(&fleet, claim.command_id).await;
    (fleet, vehicle, claim)
}

#[tokio::test]
async fn a_probe_starts_anew_in_the_place_of_its_command() {
    let (fleet, vehicle, first) = tried().await;
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
async fn a_probe_is_claimed_when_it_is_due_and_before_what_came_later() {
    let (fleet, _, last) = dark().await;
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
async fn whoever_sent_the_command_has_lost_it() {
    let (fleet, _, last) = dark().await;
    let mut connection = fleet.connection().await;
    assert!(!queue::hold(&mut connection, &last).await.unwrap());
    assert!(!queue::renew(&mut connection, &last, at(99)).await.unwrap());
}

#[tokio::test]
async fn a_probe_waits_for_its_vehicle() {
    let (fleet, vehicle, last) = dark().await;
    fleet.set_status(vehicle, "disconnected").await;
    assert_eq!(ids(&claim(&fleet, 40, 10).await), []);
    fleet.set_status(vehicle, "connected").await;
    assert_eq!(ids(&claim(&fleet, 40, 10).await), [last.command_id]);
}

#[tokio::test]
async fn a_probe_expires_as_one() {
    let (fleet, _, last) = dark().await;
    assert_eq!(expired(&fleet, PROBE_EXPIRY - 1, 10).await, []);
    let mut probe = [Expired {
        command_id: last.command_id,
        task: Task::Probe,
        // Why the command could not be sent says nothing about the probe.
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
async fn an_unreadable_task_is_named() {
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
    // A newer program's tasks are left to it, and keep nothing else from being done.
    assert_eq!(ids(&claim(&fleet, 30, 10).await), []);
    assert_eq!(expired(&fleet, 9999, 10).await.len(), 1);
}
