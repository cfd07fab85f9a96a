use sovd_storage::commands::queue::{self, Claim, Lease, Task};

use crate::{
    commands::queue::{claim, claim_one, claimed, ids},
    fixture::{Fleet, at},
};

/// A vehicle with two commands, the first of which was claimed until `at(30)` and then cancelled.
async fn cancelled() -> (Fleet, Claim) {
    let (fleet, _, first) = claimed().await;
    let mut transaction = fleet.pool.begin().await.unwrap();
    let entry = queue::lock(&mut transaction, first.command_id).await;
    let lease = entry.unwrap().unwrap().lease.unwrap();
    queue::cancel(&mut transaction, first.command_id, lease)
        .await
        .unwrap();
    transaction.commit().await.unwrap();
    (fleet, first)
}

#[tokio::test]
async fn the_vehicle_stays_reserved_until_the_holder_releases_it() {
    let (fleet, first) = cancelled().await;
    let mut connection = fleet.connection().await;
    let locked = queue::lock(&mut connection, first.command_id).await;
    assert!(locked.unwrap().unwrap().is_cancelled);
    assert_eq!(ids(&claim(&fleet, 29, 10).await), []);
    queue::release_vehicle(&mut connection, &first)
        .await
        .unwrap();
    assert_ne!(claim_one(&fleet, 29).await.command_id, first.command_id);
    assert_eq!(fleet.count("command_queue").await, 1);
}

#[tokio::test]
async fn the_holder_can_only_release_the_vehicle() {
    let (fleet, first) = cancelled().await;
    let mut connection = fleet.connection().await;
    assert!(!queue::hold(&mut connection, &first).await.unwrap());
    assert!(!queue::renew(&mut connection, &first, at(99)).await.unwrap());
    queue::release(&mut connection, &first).await.unwrap();
    assert_eq!(ids(&claim(&fleet, 29, 10).await), []);
}

#[tokio::test]
async fn an_expired_lease_frees_the_vehicle() {
    let (fleet, first) = cancelled().await;
    let mut connection = fleet.connection().await;
    let abandoned = queue::remove_abandoned(&mut connection, at(29), 10).await;
    assert_eq!(abandoned.unwrap(), 0);
    // The command has ended and is never sent again.
    assert_eq!(ids(&claim(&fleet, 30, 10).await), []);
    let abandoned = queue::remove_abandoned(&mut connection, at(30), 10).await;
    assert_eq!(abandoned.unwrap(), 1);
    assert_ne!(claim_one(&fleet, 30).await.command_id, first.command_id);
}

#[tokio::test]
async fn a_probe_waits_for_the_holder() {
    for is_released in [true, false] {
        let (fleet, _, first) = claimed().await;
        let mut connection = fleet.connection().await;
        queue::turn_into_probe(&mut connection, first.command_id, at(2), at(600))
            .await
            .unwrap();
        let lease = Lease {
            id: first.lease_id,
            until: at(30),
        };
        queue::cancel(&mut connection, first.command_id, lease)
            .await
            .unwrap();
        assert_eq!(ids(&claim(&fleet, 29, 10).await), []);
        let mut now = 30;
        if is_released {
            queue::release_vehicle(&mut connection, &first)
                .await
                .unwrap();
            now = 29;
        }
        let abandoned = queue::remove_abandoned(&mut connection, at(now), 10).await;
        assert_eq!(abandoned.unwrap(), 0, "the probe is still due");
        let probe = claim_one(&fleet, now).await;
        assert_eq!(probe.command_id, first.command_id);
        assert_eq!(probe.entry.task, Task::Probe);
        assert!(queue::hold(&mut connection, &probe).await.unwrap());
    }
}

#[tokio::test]
async fn only_the_lease_holder_releases_the_vehicle() {
    let (fleet, first) = cancelled().await;
    let mut connection = fleet.connection().await;
    let other = Claim {
        lease_id: uuid::Uuid::from_u128(7),
        ..first
    };
    queue::release_vehicle(&mut connection, &other)
        .await
        .unwrap();
    assert_eq!(fleet.count("command_queue").await, 2);
    // A claim that was not cancelled is not released either.
    let (fleet, _, first) = claimed().await;
    let mut connection = fleet.connection().await;
    queue::release_vehicle(&mut connection, &first)
        .await
        .unwrap();
    assert!(queue::hold(&mut connection, &first).await.unwrap());
}
