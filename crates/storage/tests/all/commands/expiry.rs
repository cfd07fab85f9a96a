use sovd_domain::CommandId;
use sovd_storage::commands::queue::{self, Expired, Task};

use crate::{
    commands::queue::{claim, ids},
    fixture::{EXPIRY, Fleet, at},
    waiting::within_deadline,
};

/// Returns the tasks that have expired at `now`, in order, without keeping them locked.
pub(crate) async fn expired(fleet: &Fleet, now: i64, limit: i64) -> Vec<Expired> {
    let mut connection = fleet.connection().await;
    // The timeout fails the test if the call waits for a lock.
    within_deadline(queue::expired(&mut connection, at(now), limit))
        .await
        .unwrap()
}

async fn expired_ids(fleet: &Fleet, now: i64) -> Vec<CommandId> {
    let mut ids = commands(&expired(fleet, now, 10).await);
    ids.sort();
    ids
}

fn commands(expired: &[Expired]) -> Vec<CommandId> {
    expired.iter().map(|expired| expired.command_id).collect()
}

/// Three commands for one vehicle that expire in the order 3, 1, 2.
async fn three() -> (Fleet, [CommandId; 3]) {
    let fleet = Fleet::new().await;
    let vehicle = fleet.vehicle("VIN1").await;
    let commands = [
        fleet.submit(1, vehicle).await,
        fleet.submit(2, vehicle).await,
        fleet.submit(3, vehicle).await,
    ];
    for (command, expiry) in commands.iter().zip([20, 30, 10]) {
        let sql = "UPDATE command_queue SET expires_at = $2 WHERE command_id = $1";
        let changed = fleet.client.execute(sql, &[&command.0, &at(expiry)]).await;
        assert_eq!(changed.unwrap(), 1);
    }
    (fleet, commands)
}

#[tokio::test]
async fn an_expired_command_is_listed_until_it_is_removed() {
    let fleet = Fleet::new().await;
    let vehicle = fleet.vehicle("VIN1").await;
    let command = fleet.submit(1, vehicle).await;
    let untouched = fleet.queued(command).await;
    assert_eq!(expired(&fleet, EXPIRY - 1, 10).await, []);
    assert_eq!(ids(&claim(&fleet, EXPIRY, 10).await), []);
    let found = [Expired {
        command_id: command,
        task: Task::Command,
        last_error: None,
    }];
    for _ in 0..2 {
        assert_eq!(expired(&fleet, EXPIRY, 10).await, found);
        assert_eq!(fleet.queued(command).await, untouched);
    }
    queue::remove(&mut *fleet.connection().await, command)
        .await
        .unwrap();
    assert_eq!(expired(&fleet, EXPIRY, 10).await, []);
    assert_eq!(fleet.count("command_queue").await, 0);
}

#[tokio::test]
async fn a_command_is_claimable_until_it_expires() {
    let fleet = Fleet::new().await;
    let vehicle = fleet.vehicle("VIN1").await;
    let command = fleet.submit(1, vehicle).await;
    assert_eq!(ids(&claim(&fleet, EXPIRY - 1, 10).await), [command]);
}

#[tokio::test]
async fn commands_expire_at_a_disconnected_vehicle_and_behind_others() {
    let fleet = Fleet::new().await;
    let vehicle = fleet.vehicle("VIN1").await;
    let commands = [
        fleet.submit(1, vehicle).await,
        fleet.submit(2, vehicle).await,
    ];
    fleet.set_status(vehicle, "disconnected").await;
    assert_eq!(expired_ids(&fleet, EXPIRY).await, commands);
}

#[tokio::test]
async fn a_leased_command_does_not_expire() {
    let fleet = Fleet::new().await;
    let vehicle = fleet.vehicle("VIN1").await;
    let command = fleet.submit(1, vehicle).await;
    // The lease expires 20 s after the command.
    assert_eq!(ids(&claim(&fleet, EXPIRY - 10, 10).await), [command]);
    assert_eq!(expired_ids(&fleet, EXPIRY + 19).await, []);
    assert_eq!(expired_ids(&fleet, EXPIRY + 20).await, [command]);
}

#[tokio::test]
async fn a_command_that_may_have_been_sent_does_not_expire() {
    let (fleet, [first, second, third]) = three().await;
    let mut connection = fleet.connection().await;
    queue::mark_sent(&mut connection, first, 1).await.unwrap();
    assert_eq!(expired_ids(&fleet, EXPIRY).await, [second, third]);
    // The holder found out that it was not delivered.
    queue::mark_sent(&mut connection, first, 0).await.unwrap();
    assert_eq!(expired_ids(&fleet, EXPIRY).await, [first, second, third]);
}

#[tokio::test]
async fn returns_the_tasks_that_expired_first() {
    let (fleet, [first, second, third]) = three().await;
    // With statistics, PostgreSQL reads the small table without the index on the expiry.
    let analyze = "ANALYZE command_queue";
    fleet.client.batch_execute(analyze).await.unwrap();
    let all = [third, first, second];
    for limit in [0, 1, 2, 3] {
        let found = expired(&fleet, 30, limit).await;
        assert_eq!(commands(&found), all[..usize::try_from(limit).unwrap()]);
    }
    assert_eq!(commands(&expired(&fleet, 29, 10).await), [third, first]);
}

#[tokio::test]
async fn skips_tasks_locked_by_other_transactions() {
    let (fleet, [first, second, third]) = three().await;
    let mut sweeping = fleet.pool.begin().await.unwrap();
    let batch = queue::expired(&mut sweeping, at(30), 1).await.unwrap();
    assert_eq!(commands(&batch), [third]);
    let mut cancelling = fleet.pool.begin().await.unwrap();
    let entry = queue::lock(&mut cancelling, first).await.unwrap();
    assert!(entry.is_some());

    assert_eq!(expired_ids(&fleet, 30).await, [second]);
    queue::remove(&mut sweeping, third).await.unwrap();
    sweeping.commit().await.unwrap();
    assert_eq!(expired_ids(&fleet, 30).await, [second]);
    cancelling.rollback().await.unwrap();
    assert_eq!(expired_ids(&fleet, 30).await, [first, second]);
}
