use std::time::Duration;

use sovd_domain::{CommandId, VehicleId};
use sovd_storage::queue::{self, Claim};
use tokio::time::timeout;

use crate::fleet::{Fleet, at};

/// Claims at `now` with leases of 30 s.
pub(crate) async fn claim(fleet: &Fleet, now: i64, limit: i64) -> Vec<Claim> {
    let mut connection = fleet.connection().await;
    let claiming = queue::claim(&mut connection, at(now), at(now + 30), limit);
    // A claimer that waits for another's lock would wait for ever here.
    let claims = timeout(Duration::from_secs(10), claiming).await;
    claims.unwrap().unwrap()
}

pub(crate) fn ids(claims: &[Claim]) -> Vec<CommandId> {
    claims.iter().map(|claim| claim.command_id).collect()
}

async fn set(fleet: &Fleet, sql: &str) {
    assert_eq!(fleet.client.execute(sql, &[]).await.unwrap(), 1, "{sql}");
}

/// A vehicle with two commands, and the claim of the first until `at(30)`.
async fn claimed() -> (Fleet, VehicleId, Claim) {
    let fleet = Fleet::new().await;
    let vehicle = fleet.vehicle("VIN1").await;
    let first = fleet.submit(1, vehicle).await;
    fleet.submit(2, vehicle).await;
    let [claim] = claim(&fleet, 0, 10).await[..] else {
        panic!("one vehicle, one claim")
    };
    assert_eq!((claim.command_id, claim.attempt), (first, 1));
    (fleet, vehicle, claim)
}

#[tokio::test]
async fn each_vehicle_is_served_its_oldest_command_only() {
    let fleet = Fleet::new().await;
    let (one, other) = (fleet.vehicle("VIN1").await, fleet.vehicle("VIN2").await);
    let second = fleet.submit(9, other).await;
    let first = fleet.submit(5, one).await;
    fleet.submit(1, one).await;
    fleet.submit(2, other).await;
    assert_eq!(ids(&claim(&fleet, 0, 10).await), [second, first]);
    assert_eq!(ids(&claim(&fleet, 1, 10).await), []);
}

#[tokio::test]
async fn a_claimed_vehicle_does_not_hold_up_another() {
    let (fleet, _, _) = claimed().await;
    assert_eq!(ids(&claim(&fleet, 1, 10).await), []);
    let other = fleet.vehicle("VIN2").await;
    let third = fleet.submit(3, other).await;
    assert_eq!(ids(&claim(&fleet, 1, 10).await), [third]);
}

#[tokio::test]
async fn a_removed_command_makes_room_for_the_next() {
    let (fleet, _, first) = claimed().await;
    let mut connection = fleet.connection().await;
    assert!(queue::remove(&mut connection, &first).await.unwrap());
    assert!(!queue::remove(&mut connection, &first).await.unwrap());
    let next = claim(&fleet, 1, 10).await;
    assert_eq!(next.len(), 1);
    assert_ne!(next[0].command_id, first.command_id);
    assert_eq!(fleet.count("command_queue").await, 1);
}

#[tokio::test]
async fn a_lease_that_ended_is_claimed_again() {
    let (fleet, _, first) = claimed().await;
    assert_eq!(ids(&claim(&fleet, 29, 10).await), []);
    let [second] = claim(&fleet, 30, 10).await[..] else {
        panic!("the lease has ended")
    };
    assert_eq!(second.command_id, first.command_id);
    assert_eq!(second.attempt, 2);
    assert_ne!(second.lease_id, first.lease_id);
}

#[tokio::test]
async fn a_lost_claim_is_good_for_nothing() {
    let (fleet, _, old) = claimed().await;
    let new = claim(&fleet, 30, 10).await[0];
    let mut connection = fleet.connection().await;
    assert!(!queue::hold(&mut connection, &old).await.unwrap());
    assert!(!queue::renew(&mut connection, &old, at(99)).await.unwrap());
    assert!(!queue::remove(&mut connection, &old).await.unwrap());
    queue::release(&mut connection, &old).await.unwrap();
    assert_eq!(ids(&claim(&fleet, 59, 10).await), []);
    assert!(queue::hold(&mut connection, &new).await.unwrap());
    assert!(queue::renew(&mut connection, &new, at(99)).await.unwrap());
    assert!(queue::remove(&mut connection, &new).await.unwrap());
}

#[tokio::test]
async fn a_renewed_lease_ends_later() {
    let (fleet, _, claimed) = claimed().await;
    let mut connection = fleet.connection().await;
    let renewed = queue::renew(&mut connection, &claimed, at(100)).await;
    assert!(renewed.unwrap());
    assert_eq!(ids(&claim(&fleet, 99, 10).await), []);
    assert_eq!(claim(&fleet, 100, 10).await[0].attempt, 2);
}

#[tokio::test]
async fn a_released_command_is_claimable_at_once() {
    let (fleet, _, first) = claimed().await;
    let mut connection = fleet.connection().await;
    queue::release(&mut connection, &first).await.unwrap();
    assert!(!queue::hold(&mut connection, &first).await.unwrap());
    let again = claim(&fleet, 0, 10).await;
    assert_eq!(ids(&again), [first.command_id]);
    assert_eq!(again[0].attempt, 2);
}

#[tokio::test]
async fn a_held_claim_is_nobody_else_s_until_the_transaction_ends() {
    let (fleet, _, first) = claimed().await;
    let mut transaction = fleet.pool.begin().await.unwrap();
    assert!(queue::hold(&mut transaction, &first).await.unwrap());
    assert_eq!(ids(&claim(&fleet, 99, 10).await), []);
    transaction.rollback().await.unwrap();
    assert_eq!(ids(&claim(&fleet, 99, 10).await), [first.command_id]);
}

#[tokio::test]
async fn nothing_is_claimed_before_it_is_due() {
    let fleet = Fleet::new().await;
    let vehicle = fleet.vehicle("VIN1").await;
    let command = fleet.submit(1, vehicle).await;
    fleet.submit(2, vehicle).await;
    set(
        &fleet,
        "UPDATE command_queue SET due_at = due_at + INTERVAL '10 s'
         WHERE command_id = '00000000-0000-0000-0000-000000000001'",
    )
    .await;
    assert_eq!(ids(&claim(&fleet, 9, 10).await), []);
    assert_eq!(ids(&claim(&fleet, 10, 10).await), [command]);
}

#[tokio::test]
async fn a_vehicle_that_is_away_is_not_sent_anything() {
    for status in ["disconnected", "error"] {
        let fleet = Fleet::new().await;
        let vehicle = fleet.vehicle("VIN1").await;
        let command = fleet.submit(1, vehicle).await;
        let away = format!("UPDATE vehicles SET connection_status = '{status}'");
        set(&fleet, &away).await;
        assert_eq!(ids(&claim(&fleet, 0, 10).await), [], "{status}");
        let back = "UPDATE vehicles SET connection_status = 'connected'";
        set(&fleet, back).await;
        assert_eq!(ids(&claim(&fleet, 0, 10).await), [command], "{status}");
    }
}

/// Somebody has to find out how it ended.
#[tokio::test]
async fn a_command_that_was_under_way_is_claimed_though_the_vehicle_is_away() {
    let (fleet, _, first) = claimed().await;
    set(
        &fleet,
        "UPDATE commands SET status = 'in_progress', expires_at = submitted_at
         WHERE command_id = '00000000-0000-0000-0000-000000000001'",
    )
    .await;
    let away = "UPDATE vehicles SET connection_status = 'disconnected'";
    set(&fleet, away).await;
    assert_eq!(ids(&claim(&fleet, 29, 10).await), []);
    assert_eq!(ids(&claim(&fleet, 30, 10).await), [first.command_id]);
}

#[tokio::test]
async fn a_claim_takes_no_more_than_its_limit() {
    let fleet = Fleet::new().await;
    let mut expected = Vec::new();
    for number in 0..7 {
        let vehicle = fleet.vehicle(&format!("VIN{number}")).await;
        expected.push(fleet.submit(100 - number, vehicle).await);
    }
    assert_eq!(ids(&claim(&fleet, 0, 0).await), []);
    assert_eq!(ids(&claim(&fleet, 0, 3).await), expected[..3]);
    assert_eq!(ids(&claim(&fleet, 0, 3).await), expected[3..6]);
    assert_eq!(ids(&claim(&fleet, 0, 3).await), expected[6..]);
}

#[tokio::test]
async fn claims_come_oldest_first_whatever_moved_in_the_table() {
    let fleet = Fleet::new().await;
    let mut expected = Vec::new();
    for number in 0..40 {
        let vehicle = fleet.vehicle(&format!("VIN{number}")).await;
        expected.push(fleet.submit(number * 7 % 40, vehicle).await);
    }
    fleet
        .client
        .batch_execute(
            "UPDATE command_queue SET attempt = 0 WHERE position % 3 = 0;
             UPDATE command_queue SET attempt = 0 WHERE position % 3 = 1;
             ANALYZE",
        )
        .await
        .unwrap();
    assert_eq!(ids(&claim(&fleet, 0, 100).await), expected);
}

#[tokio::test]
async fn a_command_stands_in_the_queue_once() {
    let fleet = Fleet::new().await;
    let vehicle = fleet.vehicle("VIN1").await;
    let command = fleet.submit(1, vehicle).await;
    let mut connection = fleet.connection().await;
    let again = queue::push(&mut connection, command, vehicle, at(0)).await;
    assert!(
        matches!(again, Err(sovd_storage::StorageError::Duplicate { .. })),
        "{again:?}"
    );
}
