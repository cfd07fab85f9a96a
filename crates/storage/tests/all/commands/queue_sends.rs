use sovd_storage::commands::queue;

use crate::{
    commands::queue::{claim, claim_one, claimed, ids},
    fixture::{EXPIRY, Fleet},
};

/// The outcome must be determined.
#[tokio::test]
async fn a_sent_task_is_claimed_for_a_disconnected_vehicle() {
    for status in ["disconnected", "error"] {
        let (fleet, vehicle, first) = claimed().await;
        fleet.set_status(vehicle, status).await;
        let mut connection = fleet.connection().await;
        queue::release(&mut connection, &first).await.unwrap();
        assert_eq!(ids(&claim(&fleet, 1, 10).await), [], "{status}");
        queue::mark_sent(&mut connection, first.command_id, 1)
            .await
            .unwrap();
        let again = claim_one(&fleet, 1).await;
        assert_eq!(again.command_id, first.command_id, "{status}");
        assert_eq!(again.entry.send_count, 1);
    }
}

#[tokio::test]
async fn a_sent_task_is_claimed_after_its_expiry() {
    let (fleet, _, first) = claimed().await;
    assert_eq!(ids(&claim(&fleet, EXPIRY * 2, 10).await), []);
    let mut connection = fleet.connection().await;
    queue::mark_sent(&mut connection, first.command_id, 3)
        .await
        .unwrap();
    let again = claim_one(&fleet, EXPIRY * 2).await;
    assert_eq!(again.command_id, first.command_id);
    assert_eq!(again.entry.send_count, 3);
}

#[tokio::test]
async fn a_sent_task_waits_for_its_lease_and_due_time() {
    let (fleet, vehicle, first) = claimed().await;
    fleet.set_status(vehicle, "disconnected").await;
    let mut connection = fleet.connection().await;
    queue::mark_sent(&mut connection, first.command_id, 1)
        .await
        .unwrap();
    assert_eq!(ids(&claim(&fleet, 29, 10).await), []);
    let sql = "UPDATE command_queue SET due_at = due_at + INTERVAL '40 s'";
    fleet.client.batch_execute(sql).await.unwrap();
    assert_eq!(ids(&claim(&fleet, 39, 10).await), []);
    assert_eq!(ids(&claim(&fleet, 40, 10).await), [first.command_id]);
}

/// Outcomes are determined in the order of sending.
#[tokio::test]
async fn a_sent_task_does_not_overtake() {
    let fleet = Fleet::new().await;
    let vehicle = fleet.vehicle("VIN1").await;
    let first = fleet.submit(1, vehicle).await;
    let second = fleet.submit(2, vehicle).await;
    fleet.set_status(vehicle, "disconnected").await;
    let mut connection = fleet.connection().await;
    queue::mark_sent(&mut connection, second, 1).await.unwrap();
    assert_eq!(ids(&claim(&fleet, 0, 10).await), []);
    queue::remove(&mut connection, first).await.unwrap();
    assert_eq!(ids(&claim(&fleet, 0, 10).await), [second]);
}

#[tokio::test]
async fn a_complete_response_is_recorded_for_the_next_holder() {
    let (fleet, _, first) = claimed().await;
    let mut connection = fleet.connection().await;
    queue::mark_sent(&mut connection, first.command_id, 1)
        .await
        .unwrap();
    assert!(!claim_one(&fleet, 30).await.entry.is_answered);
    queue::mark_answered(&mut connection, first.command_id)
        .await
        .unwrap();
    let heir = claim_one(&fleet, 60).await;
    assert!(heir.entry.is_answered);
    assert_eq!(heir.entry.send_count, 1);
}

#[tokio::test]
async fn marks_only_the_given_task() {
    let (fleet, vehicle, first) = claimed().await;
    let other = fleet.submit(3, vehicle).await;
    let (mut noted, untouched) = (
        fleet.queued(first.command_id).await,
        fleet.queued(other).await,
    );
    let mut connection = fleet.connection().await;
    queue::mark_sent(&mut connection, first.command_id, 2)
        .await
        .unwrap();
    noted["send_count"] = 2.into();
    assert_eq!(fleet.queued(first.command_id).await, noted);
    queue::mark_answered(&mut connection, first.command_id)
        .await
        .unwrap();
    noted["is_answered"] = true.into();
    assert_eq!(fleet.queued(first.command_id).await, noted);
    assert_eq!(fleet.queued(other).await, untouched);
}
