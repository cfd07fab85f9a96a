//! `queue_heads` under concurrent changes of the queue.

use futures_util::future::join_all;
use sovd_domain::{CommandId, VehicleId};
use sovd_storage::{
    Transaction,
    commands::queue::{self, NewEntry},
    fleet::vehicles,
};
use uuid::Uuid;

use crate::{
    commands::queue::{claim, claimed, ids},
    fixture::{EXPIRY, Fleet, at, command},
    waiting::{wait_until_blocked, within_deadline},
};

/// Queues a command as a submission does, under the lock of the vehicle.
async fn push(
    fleet: &Fleet,
    transaction: &mut Transaction,
    number: u128,
    vehicle: VehicleId,
) -> CommandId {
    vehicles::lock(transaction, vehicle).await.unwrap();
    let command = command(number, fleet.engineer, vehicle, at(0));
    sovd_storage::commands::insert(transaction, &command)
        .await
        .unwrap();
    let entry = NewEntry {
        command_id: command.command_id,
        vehicle_id: vehicle,
        due_at: at(0),
        expires_at: at(EXPIRY),
        skip_evidence: false,
    };
    within_deadline(queue::push(transaction, &entry))
        .await
        .unwrap();
    command.command_id
}

/// Asserts that every column of every head matches the queue.
async fn assert_heads_match(fleet: &Fleet) {
    let sql = "
        WITH first AS (
            SELECT DISTINCT ON (vehicle_id) vehicle_id, command_id, position, ready_at,
                   send_count > 0 AS is_sent, connection_status = 'connected' AS is_reachable
            FROM command_queue JOIN vehicles USING (vehicle_id)
            ORDER BY vehicle_id, position)
        SELECT coalesce(string_agg(to_jsonb(difference)::text, ', '), '')
        FROM ((TABLE first EXCEPT TABLE queue_heads)
              UNION ALL (TABLE queue_heads EXCEPT TABLE first)) difference";
    let row = fleet.client.query_one(sql, &[]).await.unwrap();
    assert_eq!(row.get::<_, String>(0), "");
}

#[tokio::test]
async fn a_removal_waits_for_a_submission_and_promotes_it() {
    let fleet = Fleet::new().await;
    let vehicle = fleet.vehicle("VIN1").await;
    let first = fleet.submit(1, vehicle).await;
    let mut submitting = fleet.pool.begin().await.unwrap();
    let second = push(&fleet, &mut submitting, 2, vehicle).await;
    let mut connection = fleet.connection().await;
    let (removed, ()) = tokio::join!(
        within_deadline(queue::remove(&mut connection, first)),
        async {
            wait_until_blocked(&fleet, 1).await;
            submitting.commit().await.unwrap();
        }
    );
    removed.unwrap();
    assert_heads_match(&fleet).await;
    assert_eq!(ids(&claim(&fleet, 0, 10).await), [second]);
}

#[tokio::test]
async fn a_submission_waits_for_the_removal_of_the_last_entry() {
    for is_committed in [true, false] {
        let fleet = Fleet::new().await;
        let vehicle = fleet.vehicle("VIN1").await;
        let first = fleet.submit(1, vehicle).await;
        let mut removing = fleet.pool.begin().await.unwrap();
        queue::remove(&mut removing, first).await.unwrap();
        let mut submitting = fleet.pool.begin().await.unwrap();
        let (second, ()) = tokio::join!(push(&fleet, &mut submitting, 2, vehicle), async {
            wait_until_blocked(&fleet, 1).await;
            if is_committed {
                removing.commit().await.unwrap();
            } else {
                removing.rollback().await.unwrap();
            }
        });
        submitting.commit().await.unwrap();
        assert_heads_match(&fleet).await;
        let expected = if is_committed { second } else { first };
        assert_eq!(ids(&claim(&fleet, 0, 10).await), [expected]);
    }
}

#[tokio::test]
async fn a_submission_that_is_rolled_back_leaves_no_head() {
    let fleet = Fleet::new().await;
    let vehicle = fleet.vehicle("VIN1").await;
    let mut submitting = fleet.pool.begin().await.unwrap();
    push(&fleet, &mut submitting, 1, vehicle).await;
    submitting.rollback().await.unwrap();
    assert_eq!(fleet.count("queue_heads").await, 0);
}

#[tokio::test]
async fn concurrent_removals_of_the_first_two_promote_the_third() {
    for first_commits_first in [true, false] {
        let (fleet, vehicle, first) = claimed().await;
        let second = CommandId(Uuid::from_u128(2));
        let third = fleet.submit(3, vehicle).await;
        let (one, other) = if first_commits_first {
            (first.command_id, second)
        } else {
            (second, first.command_id)
        };
        let mut earlier = fleet.pool.begin().await.unwrap();
        queue::remove(&mut earlier, one).await.unwrap();
        let mut later = fleet.pool.begin().await.unwrap();
        let (removed, ()) =
            tokio::join!(within_deadline(queue::remove(&mut later, other)), async {
                wait_until_blocked(&fleet, 1).await;
                earlier.commit().await.unwrap();
            });
        removed.unwrap();
        later.commit().await.unwrap();
        assert_heads_match(&fleet).await;
        assert_eq!(ids(&claim(&fleet, 0, 10).await), [third]);
    }
}

#[tokio::test]
async fn a_claim_does_not_wait_for_a_submission_to_the_same_vehicle() {
    let fleet = Fleet::new().await;
    let vehicle = fleet.vehicle("VIN1").await;
    let first = fleet.submit(1, vehicle).await;
    let mut submitting = fleet.pool.begin().await.unwrap();
    push(&fleet, &mut submitting, 2, vehicle).await;
    assert_eq!(ids(&claim(&fleet, 0, 10).await), [first]);
    submitting.commit().await.unwrap();
    assert_heads_match(&fleet).await;
}

#[tokio::test]
async fn a_claim_skips_a_vehicle_whose_head_is_being_removed() {
    let (fleet, vehicle, first) = claimed().await;
    let other = fleet.vehicle("VIN2").await;
    let third = fleet.submit(3, other).await;
    let mut removing = fleet.pool.begin().await.unwrap();
    queue::remove(&mut removing, first.command_id)
        .await
        .unwrap();
    assert_eq!(ids(&claim(&fleet, 99, 10).await), [third]);
    removing.commit().await.unwrap();
    let claims = claim(&fleet, 99, 10).await;
    assert_eq!(ids(&claims), [CommandId(Uuid::from_u128(2))]);
    assert_eq!(fleet.stored(claims[0].command_id).await.vehicle_id, vehicle);
}

#[tokio::test]
async fn a_vehicle_that_returns_during_a_removal_is_reachable() {
    let fleet = Fleet::new().await;
    let vehicle = fleet.vehicle("VIN1").await;
    fleet.set_status(vehicle, "disconnected").await;
    let first = fleet.submit(1, vehicle).await;
    let second = fleet.submit(2, vehicle).await;
    let mut removing = fleet.pool.begin().await.unwrap();
    queue::remove(&mut removing, first).await.unwrap();
    let client = fleet.another_client().await;
    let sql = "UPDATE vehicles SET connection_status = 'connected'";
    let (returned, ()) = tokio::join!(within_deadline(client.batch_execute(sql)), async {
        wait_until_blocked(&fleet, 1).await;
        removing.commit().await.unwrap();
    });
    returned.unwrap();
    assert_heads_match(&fleet).await;
    assert_eq!(ids(&claim(&fleet, 0, 10).await), [second]);
}

#[tokio::test]
async fn the_migration_fills_queue_heads() {
    let (fleet, vehicle, _) = claimed().await;
    let other = fleet.vehicle("VIN2").await;
    fleet.set_status(other, "error").await;
    fleet.submit(3, other).await;
    fleet.submit(4, vehicle).await;
    fleet.down_before("commands").await;
    sovd_storage::migrations::up(fleet.url()).await.unwrap();
    assert_eq!(fleet.count("queue_heads").await, 2);
    assert_heads_match(&fleet).await;
    let sql = "SELECT count(*) FROM command_queue WHERE user_id = $1";
    let row = fleet.client.query_one(sql, &[&fleet.engineer.0]).await;
    assert_eq!(row.unwrap().get::<_, i64>(0), 4);
}

/// Runs submissions, completions, cancellations and connection changes concurrently.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heads_match_the_queue_after_concurrent_changes() {
    const ROUNDS: u128 = 40;
    let fleet = Fleet::new().await;
    let mut vehicles = Vec::new();
    for number in 0..4 {
        vehicles.push(fleet.vehicle(&format!("VIN{number}")).await);
    }
    let vehicle = |number: u128| vehicles[usize::try_from(number % 4).unwrap()];
    let submit = async |of: u128| {
        for round in 0..ROUNDS {
            let mut transaction = fleet.pool.begin().await.unwrap();
            let number = of * 1000 + round + 1;
            push(&fleet, &mut transaction, number, vehicle(of + round)).await;
            if round % 7 == 0 {
                transaction.rollback().await.unwrap();
            } else {
                transaction.commit().await.unwrap();
            }
        }
    };
    let complete = async || {
        for round in 0..ROUNDS {
            for claim in claim(&fleet, 0, 2).await {
                let mut transaction = fleet.pool.begin().await.unwrap();
                assert!(queue::hold(&mut transaction, &claim).await.unwrap());
                if round % 3 == 0 {
                    let postponed =
                        queue::postpone(&mut transaction, claim.command_id, at(0), 1, "no answer");
                    within_deadline(postponed).await.unwrap();
                } else {
                    within_deadline(queue::remove(&mut transaction, claim.command_id))
                        .await
                        .unwrap();
                }
                transaction.commit().await.unwrap();
            }
        }
    };
    let cancel = async |from: u128| {
        for round in 0..ROUNDS {
            let mut transaction = fleet.pool.begin().await.unwrap();
            let command = CommandId(Uuid::from_u128(from * 1000 + round + 1));
            let entry = within_deadline(queue::lock(&mut transaction, command))
                .await
                .unwrap();
            if entry.is_some_and(|entry| entry.lease.is_none()) {
                within_deadline(queue::remove(&mut transaction, command))
                    .await
                    .unwrap();
            }
            transaction.commit().await.unwrap();
        }
    };
    let reconnect = async || {
        let client = fleet.another_client().await;
        for round in 0..ROUNDS {
            let status = ["disconnected", "connected"][usize::try_from(round % 2).unwrap()];
            let sql = "UPDATE vehicles SET connection_status = $2 WHERE vehicle_id = $1";
            let values: [&(dyn tokio_postgres::types::ToSql + Sync); 2] =
                [&vehicle(round / 2).0, &status];
            client.execute(sql, &values).await.unwrap();
        }
    };
    tokio::join!(
        join_all((0..4).map(submit)),
        join_all((0..3).map(|_| complete())),
        join_all((0..2).map(cancel)),
        reconnect(),
    );
    assert_heads_match(&fleet).await;
    let all = "UPDATE vehicles SET connection_status = 'connected';
               UPDATE command_queue SET lease_id = NULL, lease_expires_at = NULL";
    fleet.client.batch_execute(all).await.unwrap();
    assert_heads_match(&fleet).await;
    loop {
        let claims = claim(&fleet, 0, 10).await;
        if claims.is_empty() {
            break;
        }
        for claim in claims {
            let sql = "SELECT count(*) FROM command_queue earlier
                       JOIN command_queue claimed USING (vehicle_id)
                       WHERE claimed.command_id = $1 AND earlier.position < claimed.position";
            let earlier = fleet.client.query_one(sql, &[&claim.command_id.0]).await;
            assert_eq!(earlier.unwrap().get::<_, i64>(0), 0);
            let mut connection = fleet.connection().await;
            queue::remove(&mut connection, claim.command_id)
                .await
                .unwrap();
        }
    }
    assert_eq!(fleet.count("command_queue").await, 0);
    assert_eq!(fleet.count("queue_heads").await, 0);
}

#[tokio::test]
async fn a_truncated_queue_leaves_no_head() {
    let fleet = Fleet::new().await;
    let vehicle = fleet.vehicle("VIN1").await;
    fleet.submit(1, vehicle).await;
    let truncate = "TRUNCATE command_queue";
    fleet.client.batch_execute(truncate).await.unwrap();
    assert_heads_match(&fleet).await;
    let next = fleet.submit(2, vehicle).await;
    assert_heads_match(&fleet).await;
    assert_eq!(ids(&claim(&fleet, 0, 10).await), [next]);
}
