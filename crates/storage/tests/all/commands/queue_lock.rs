use sovd_domain::CommandId;
use sovd_storage::commands::queue::{self, Entry, Task};
use uuid::Uuid;

use crate::{
    commands::queue::claimed,
    fixture::{EXPIRY, at},
    waiting::{in_time, until_waiting},
};

#[tokio::test]
async fn a_locked_entry_says_how_far_it_has_come() {
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
async fn what_is_not_in_the_queue_cannot_be_locked() {
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
async fn the_holder_of_a_claim_waits_for_whoever_calls_it_off() {
    for is_cancelled in [true, false] {
        let (fleet, _, first) = claimed().await;
        let mut cancelling = fleet.pool.begin().await.unwrap();
        let entry = queue::lock(&mut cancelling, first.command_id).await;
        let lease = entry.unwrap().unwrap().lease.unwrap();
        assert_eq!(lease.id, first.lease_id);

        let mut writing = fleet.pool.begin().await.unwrap();
        let (is_held, ()) = tokio::join!(in_time(queue::hold(&mut writing, &first)), async {
            until_waiting(&fleet, 1).await;
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
async fn whoever_calls_a_command_off_waits_for_the_holder_of_its_claim() {
    let (fleet, _, first) = claimed().await;
    let mut writing = fleet.pool.begin().await.unwrap();
    assert!(queue::hold(&mut writing, &first).await.unwrap());

    let mut cancelling = fleet.pool.begin().await.unwrap();
    let (entry, ()) = tokio::join!(
        in_time(queue::lock(&mut cancelling, first.command_id)),
        async {
            until_waiting(&fleet, 1).await;
            queue::mark_sent(&mut writing, first.command_id, 1)
                .await
                .unwrap();
            writing.commit().await.unwrap();
        }
    );
    // Called off a moment earlier, it would have counted as never sent.
    assert_eq!(entry.unwrap().unwrap().send_count, 1);
    cancelling.rollback().await.unwrap();
}

#[tokio::test]
async fn a_lease_is_not_renewed_while_the_command_is_called_off() {
    let (fleet, _, first) = claimed().await;
    let mut cancelling = fleet.pool.begin().await.unwrap();
    let entry = queue::lock(&mut cancelling, first.command_id).await;
    assert!(entry.unwrap().is_some());

    let mut connection = fleet.connection().await;
    let (is_renewed, ()) = tokio::join!(
        in_time(queue::renew(&mut connection, &first, at(99))),
        async {
            until_waiting(&fleet, 1).await;
            queue::turn_into_probe(&mut cancelling, first.command_id, at(0), at(10))
                .await
                .unwrap();
            cancelling.commit().await.unwrap();
        }
    );
    assert!(!is_renewed.unwrap());
}
