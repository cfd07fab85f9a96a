use sovd_domain::CommandId;
use sovd_storage::commands::queue::{self, Expired, Task};

use crate::{
    commands::{
        expiry::expired,
        queue::{claim, claim_one, claimed, ids},
    },
    fixture::{EXPIRY, Fleet, at},
};

async fn postpone(fleet: &Fleet, command_id: CommandId, due: i64, send_count: i32, error: &str) {
    let mut connection = fleet.connection().await;
    queue::postpone(&mut connection, command_id, at(due), send_count, error)
        .await
        .unwrap();
}

/// Returns the task of the command if it has expired at `now`.
async fn expired_one(fleet: &Fleet, command_id: CommandId, now: i64) -> Option<Expired> {
    let mut all = expired(fleet, now, 10).await.into_iter();
    all.find(|found| found.command_id == command_id)
}

#[tokio::test]
async fn a_postponed_task_keeps_its_position_until_it_is_due() {
    let (fleet, _, first) = claimed().await;
    postpone(&fleet, first.command_id, 50, 0, "no route").await;
    // The second command of the vehicle is due, and must not go first.
    assert_eq!(ids(&claim(&fleet, 49, 10).await), []);
    let again = claim_one(&fleet, 50).await;
    assert_eq!(again.command_id, first.command_id);
    assert_eq!((again.entry.attempt, again.entry.send_count), (1, 0));
}

#[tokio::test]
async fn postponing_releases_the_claim() {
    let (fleet, _, first) = claimed().await;
    // Due before the lease would have expired.
    postpone(&fleet, first.command_id, 1, 0, "no route").await;
    let mut connection = fleet.connection().await;
    assert!(!queue::hold(&mut connection, &first).await.unwrap());
    assert!(!queue::renew(&mut connection, &first, at(99)).await.unwrap());
    let again = claim_one(&fleet, 1).await;
    assert_ne!(again.lease_id, first.lease_id);
    queue::release(&mut connection, &first).await.unwrap();
    assert!(queue::hold(&mut connection, &again).await.unwrap());
}

#[tokio::test]
async fn postponing_does_not_affect_other_vehicles() {
    let (fleet, _, first) = claimed().await;
    let other = fleet.vehicle("VIN2").await;
    let third = fleet.submit(3, other).await;
    let untouched = fleet.queued(third).await;
    postpone(&fleet, first.command_id, 50, 0, "no route").await;
    assert_eq!(fleet.queued(third).await, untouched);
    assert_eq!(ids(&claim(&fleet, 1, 10).await), [third]);
}

#[tokio::test]
async fn counts_failed_attempts_and_keeps_the_last_error() {
    let (fleet, _, first) = claimed().await;
    for (attempt, error) in [(1, "no route"), (2, "no answer"), (3, "busy")] {
        postpone(&fleet, first.command_id, attempt, 0, error).await;
        let again = claim_one(&fleet, attempt).await;
        assert_eq!(i64::from(again.entry.attempt), attempt);
    }
    let command_id = first.command_id;
    let found = Expired {
        command_id,
        task: Task::Command,
        last_error: Some("busy".to_owned()),
    };
    assert_eq!(expired_one(&fleet, command_id, EXPIRY).await, Some(found));
}

#[tokio::test]
async fn a_postponed_task_expires_before_it_is_due() {
    let (fleet, _, first) = claimed().await;
    postpone(&fleet, first.command_id, EXPIRY + 500, 0, "no route").await;
    let command_id = first.command_id;
    assert_eq!(expired_one(&fleet, command_id, EXPIRY - 1).await, None);
    assert!(expired_one(&fleet, command_id, EXPIRY).await.is_some());
}

#[tokio::test]
async fn a_task_that_may_have_been_sent_is_retried_past_its_expiry() {
    let (fleet, vehicle, first) = claimed().await;
    fleet.set_status(vehicle, "disconnected").await;
    postpone(&fleet, first.command_id, EXPIRY + 500, 2, "no answer").await;
    let found = expired_one(&fleet, first.command_id, EXPIRY + 499).await;
    assert_eq!(found, None);
    assert_eq!(ids(&claim(&fleet, EXPIRY + 499, 10).await), []);
    let again = claim_one(&fleet, EXPIRY + 500).await;
    assert_eq!(again.command_id, first.command_id);
    assert_eq!((again.entry.attempt, again.entry.send_count), (1, 2));
}

/// The send is recorded in advance and corrected when the connector reports that it failed.
#[tokio::test]
async fn a_send_that_certainly_failed_is_not_counted() {
    let (fleet, vehicle, first) = claimed().await;
    let mut connection = fleet.connection().await;
    queue::mark_sent(&mut connection, first.command_id, 1)
        .await
        .unwrap();
    postpone(&fleet, first.command_id, 5, 0, "no route").await;
    fleet.set_status(vehicle, "disconnected").await;
    assert_eq!(ids(&claim(&fleet, 5, 10).await), []);
    let found = expired_one(&fleet, first.command_id, EXPIRY).await;
    assert!(found.is_some());
}
