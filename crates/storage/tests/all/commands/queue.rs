use sovd_domain::{CommandId, VehicleId};
use sovd_storage::commands::queue::{self, Claim, Claimed, Entry, Lease, NewEntry, Task};

use crate::{
    fixture::{EXPIRY, Fleet, at, command},
    waiting::within_deadline,
};

/// Claims at `now` with leases of 30 s.
pub(crate) async fn claim(fleet: &Fleet, now: i64, limit: i64) -> Vec<Claim> {
    let mut connection = fleet.connection().await;
    // The timeout fails the test if the call waits for a lock.
    let claimed = queue::claim(&mut connection, &[], at(now), at(now + 30), limit);
    claims(within_deadline(claimed).await.unwrap())
}

pub(crate) fn claims(claimed: Vec<Claimed>) -> Vec<Claim> {
    claimed.into_iter().map(|claimed| claimed.claim).collect()
}

/// Claims the only claimable task at `now`.
pub(crate) async fn claim_one(fleet: &Fleet, now: i64) -> Claim {
    match claim(fleet, now, 10).await[..] {
        [claim] => claim,
        ref claims => panic!("{claims:?}"),
    }
}

pub(crate) fn ids(claims: &[Claim]) -> Vec<CommandId> {
    claims.iter().map(|claim| claim.command_id).collect()
}

/// A vehicle with two commands, and the claim of the first until `at(30)`.
pub(crate) async fn claimed() -> (Fleet, VehicleId, Claim) {
    let fleet = Fleet::new().await;
    let vehicle = fleet.vehicle("VIN1").await;
    let first = fleet.submit(1, vehicle).await;
    fleet.submit(2, vehicle).await;
    let claim = claim_one(&fleet, 0).await;
    assert_eq!(claim.command_id, first);
    (fleet, vehicle, claim)
}

#[tokio::test]
async fn a_new_task_has_no_attempts() {
    for skip_evidence in [false, true] {
        let fleet = Fleet::new().await;
        let vehicle = fleet.vehicle("VIN1").await;
        let command = command(1, fleet.engineer, vehicle, at(0));
        fleet.store(&command).await;
        let new = NewEntry {
            command_id: command.command_id,
            vehicle_id: vehicle,
            due_at: at(3),
            expires_at: at(5),
            skip_evidence,
        };
        queue::push(&mut *fleet.connection().await, &new)
            .await
            .unwrap();
        assert_eq!(ids(&claim(&fleet, 2, 10).await), []);
        let claim = claim_one(&fleet, 3).await;
        assert_eq!(claim.command_id, command.command_id);
        let expected = Entry {
            task: Task::Command,
            attempt: 0,
            send_count: 0,
            is_answered: false,
            skip_evidence,
            expires_at: at(5),
            lease: Some(Lease {
                id: claim.lease_id,
                until: at(33),
            }),
            is_cancelled: false,
        };
        assert_eq!(claim.entry, expected);
    }
}

/// A writer of an older version may not know the other columns.
#[tokio::test]
async fn the_other_columns_of_an_entry_have_defaults() {
    let fleet = Fleet::new().await;
    let vehicle = fleet.vehicle("VIN1").await;
    let command = command(1, fleet.engineer, vehicle, at(0));
    fleet.store(&command).await;
    let sql = "INSERT INTO command_queue (command_id, vehicle_id, due_at)
               SELECT command_id, vehicle_id, submitted_at FROM commands
               RETURNING task = 'command' AND expires_at = now() + INTERVAL '1 hour'
                   AND NOT (skip_evidence OR is_answered OR is_cancelled)
                   AND attempt = 0 AND send_count = 0";
    let row = fleet.client.query_one(sql, &[]).await.unwrap();
    assert!(row.get::<_, bool>(0));
}

#[tokio::test]
async fn only_the_oldest_command_of_each_vehicle_is_claimed() {
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
async fn a_claimed_vehicle_does_not_block_others() {
    let (fleet, _, _) = claimed().await;
    assert_eq!(ids(&claim(&fleet, 1, 10).await), []);
    let other = fleet.vehicle("VIN2").await;
    let third = fleet.submit(3, other).await;
    assert_eq!(ids(&claim(&fleet, 1, 10).await), [third]);
}

#[tokio::test]
async fn removing_a_command_makes_the_next_claimable() {
    let (fleet, _, first) = claimed().await;
    let mut connection = fleet.connection().await;
    for _ in 0..2 {
        queue::remove(&mut connection, first.command_id)
            .await
            .unwrap();
    }
    let next = claim_one(&fleet, 1).await;
    assert_ne!(next.command_id, first.command_id);
    assert_eq!(fleet.count("command_queue").await, 1);
}

#[tokio::test]
async fn a_task_is_claimable_again_once_its_lease_expires() {
    let (fleet, _, first) = claimed().await;
    assert_eq!(ids(&claim(&fleet, 29, 10).await), []);
    let second = claim_one(&fleet, 30).await;
    assert_eq!(second.command_id, first.command_id);
    assert_ne!(second.lease_id, first.lease_id);
    // An attempt of the first holder is not recorded, so it does not count.
    assert_eq!(second.entry.attempt, 0);
}

#[tokio::test]
async fn a_lost_claim_has_no_effect() {
    let (fleet, _, old) = claimed().await;
    let new = claim_one(&fleet, 30).await;
    let mut connection = fleet.connection().await;
    assert!(!queue::hold(&mut connection, &old).await.unwrap());
    assert!(!queue::renew(&mut connection, &old, at(99)).await.unwrap());
    queue::release(&mut connection, &old).await.unwrap();
    assert_eq!(ids(&claim(&fleet, 59, 10).await), []);
    assert!(queue::hold(&mut connection, &new).await.unwrap());
    assert!(queue::renew(&mut connection, &new, at(99)).await.unwrap());
}

#[tokio::test]
async fn renewal_extends_the_lease() {
    let (fleet, _, claimed) = claimed().await;
    let mut connection = fleet.connection().await;
    let renewed = queue::renew(&mut connection, &claimed, at(100)).await;
    assert!(renewed.unwrap());
    assert_eq!(ids(&claim(&fleet, 99, 10).await), []);
    let again = claim_one(&fleet, 100).await;
    assert_eq!(again.command_id, claimed.command_id);
}

#[tokio::test]
async fn a_released_command_is_claimable_at_once() {
    let (fleet, _, first) = claimed().await;
    let mut connection = fleet.connection().await;
    queue::release(&mut connection, &first).await.unwrap();
    assert!(!queue::hold(&mut connection, &first).await.unwrap());
    let again = claim_one(&fleet, 0).await;
    assert_eq!(again.command_id, first.command_id);
    assert_eq!(again.entry.attempt, 0);
}

#[tokio::test]
async fn a_locked_claim_is_exclusive_until_the_transaction_ends() {
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
    let later = "UPDATE command_queue SET due_at = due_at + INTERVAL '10 s' WHERE command_id = $1";
    let changed = fleet.client.execute(later, &[&command.0]).await;
    assert_eq!(changed.unwrap(), 1);
    assert_eq!(ids(&claim(&fleet, 9, 10).await), []);
    assert_eq!(ids(&claim(&fleet, 10, 10).await), [command]);
}

#[tokio::test]
async fn nothing_is_claimed_for_a_disconnected_vehicle() {
    for status in ["disconnected", "error"] {
        let fleet = Fleet::new().await;
        let vehicle = fleet.vehicle("VIN1").await;
        let command = fleet.submit(1, vehicle).await;
        fleet.set_status(vehicle, status).await;
        assert_eq!(ids(&claim(&fleet, 0, 10).await), [], "{status}");
        fleet.set_status(vehicle, "connected").await;
        assert_eq!(ids(&claim(&fleet, 0, 10).await), [command], "{status}");
    }
}

#[tokio::test]
async fn a_claim_respects_its_limit() {
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
async fn claims_are_ordered_by_position() {
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
async fn a_command_is_queued_once() {
    let fleet = Fleet::new().await;
    let vehicle = fleet.vehicle("VIN1").await;
    let command = fleet.submit(1, vehicle).await;
    let mut connection = fleet.connection().await;
    let again = NewEntry {
        command_id: command,
        vehicle_id: vehicle,
        due_at: at(0),
        expires_at: at(EXPIRY),
        skip_evidence: false,
    };
    let again = queue::push(&mut connection, &again).await;
    assert!(
        matches!(again, Err(sovd_storage::StorageError::Duplicate { .. })),
        "{again:?}"
    );
}

#[tokio::test]
async fn a_direct_claim_is_taken_back_by_a_release_before_the_send() {
    let fleet = Fleet::new().await;
    let vehicle = fleet.vehicle("VIN1").await;
    let command_id = fleet.submit(1, vehicle).await;
    let mut connection = fleet.connection().await;
    let state = async || {
        let sql = "SELECT status, started_at IS NULL, send_count, lease_id IS NULL
                   FROM commands JOIN command_queue USING (command_id)";
        let row = fleet.client.query_one(sql, &[]).await.unwrap();
        let (is_unstarted, is_free): (bool, bool) = (row.get(1), row.get(3));
        (
            row.get::<_, String>(0),
            is_unstarted,
            row.get::<_, i32>(2),
            is_free,
        )
    };
    for _ in 0..2 {
        let claimed = queue::claim(&mut connection, &["ReadDTC"], at(0), at(30), 1).await;
        let claimed = claimed.unwrap().remove(0);
        assert_eq!(claimed.claim.command_id, command_id);
        assert!(claimed.is_marked_sent && claimed.is_started);
        assert_eq!(claimed.claim.entry.send_count, 0);
        assert_eq!(state().await, ("in_progress".to_owned(), false, 1, false));
        queue::release_unsent(&mut connection, &claimed)
            .await
            .unwrap();
        assert_eq!(state().await, ("pending".to_owned(), true, 0, true));
    }
}
