use sovd_domain::CommandId;
use sovd_storage::commands::queue::{self, Entry, Task};
use uuid::Uuid;

use crate::{
    commands::queue::claimed,
    fixture::{EXPIRY, at},
    waiting::{wait_until_blocked, within_deadline},
};

#[tokio::test]
async fn a_locked_entry_shows_its_progress() {
    let (fleet, vehicle, first) = claimed().await;
    let mut connection = fleet.connection().await;
    let locked = queue::lock(&mut connection, first.command_id).await;
    assert_eq!(locked.unwrap(), Some(first.entry));
    queue::mark_answered(&mut connection, first.command_id)
        .await
        .unwrap();
    queue::postpone(&mut connection, first.command_id, at(9), 4, "no answer")
        .await
        .unwrap();
    let expected = Entry {
        task: Task::Command,
        attempt: 1,
        send_count: 4,
        is_answered: true,
        skip_evidence: false,
        expires_at: at(EXPIRY),
        lease: None,
        is_cancelled: false,
    };
    let locked = queue::lock(&mut connection, first.command_id).await;
    assert_eq!(locked.unwrap(), Some(expected));
    queue::turn_into_probe(&mut connection, first.command_id, at(9), at(10))
        .await
        .unwrap();
    let locked = queue::lock(&mut connection, first.command_id).await;
    assert_eq!(locked.unwrap().unwrap().task, Task::Probe);
    let other = fleet.submit(3, vehicle).await;
    let locked = queue::lock(&mut connection, other).await.unwrap();
    assert_eq!(locked.unwrap().attempt, 0);
}

#[tokio::test]
async fn locking_a_command_outside_the_queue_returns_none() {
    let (fleet, _, first) = claimed().await;
    let mut connection = fleet.connection().await;
    queue::remove(&mut connection, first.command_id)
        .await
        .unwrap();
    for command_id in [first.command_id, CommandId(Uuid::from_u128(99))] {
        let locked = queue::lock(&mut connection, command_id).await;
        assert_eq!(locked.unwrap(), None);
    }
}

#[tokio::test]
async fn the_lease_holder_waits_for_a_cancellation() {
    for is_cancelled in [true, false] {
        let (fleet, _, first) = claimed().await;
        let mut cancelling = fleet.pool.begin().await.unwrap();
        let entry = queue::lock(&mut cancelling, first.command_id).await;
        let lease = entry.unwrap().unwrap().lease.unwrap();
        assert_eq!(lease.id, first.lease_id);

        let mut writing = fleet.pool.begin().await.unwrap();
        let (is_held, ()) =
            tokio::join!(within_deadline(queue::hold(&mut writing, &first)), async {
                wait_until_blocked(&fleet, 1).await;
                if is_cancelled {
                    queue::remove(&mut cancelling, first.command_id)
                        .await
                        .unwrap();
                }
                cancelling.commit().await.unwrap();
            });
        assert_eq!(is_held.unwrap(), !is_cancelled);
        writing.rollback().await.unwrap();
    }
}

#[tokio::test]
async fn a_cancellation_waits_for_the_lease_holder() {
    let (fleet, _, first) = claimed().await;
    let mut writing = fleet.pool.begin().await.unwrap();
    assert!(queue::hold(&mut writing, &first).await.unwrap());

    let mut cancelling = fleet.pool.begin().await.unwrap();
    let (entry, ()) = tokio::join!(
        within_deadline(queue::lock(&mut cancelling, first.command_id)),
        async {
            wait_until_blocked(&fleet, 1).await;
            queue::mark_sent(&mut writing, first.command_id, 1)
                .await
                .unwrap();
            writing.commit().await.unwrap();
        }
    );
    // Cancelled earlier, it would have counted as never sent.
    assert_eq!(entry.unwrap().unwrap().send_count, 1);
    cancelling.rollback().await.unwrap();
}

#[tokio::test]
async fn a_lease_is_not_renewed_after_a_cancellation() {
    let (fleet, _, first) = claimed().await;
    let mut cancelling = fleet.pool.begin().await.unwrap();
    let entry = queue::lock(&mut cancelling, first.command_id).await;
    assert!(entry.unwrap().is_some());

    let mut connection = fleet.connection().await;
    let (is_renewed, ()) = tokio::join!(
        within_deadline(queue::renew(&mut connection, &first, at(99))),
        async {
            wait_until_blocked(&fleet, 1).await;
            queue::turn_into_probe(&mut cancelling, first.command_id, at(0), at(10))
                .await
                .unwrap();
            cancelling.commit().await.unwrap();
        }
    );
    assert!(!is_renewed.unwrap());
}
