use sovd_domain::CommandId;
use sovd_storage::commands::queue::{self, Expired, Task};

use crate::{
    commands::queue::{claim, ids},
    fixture::{EXPIRY, Fleet, at},
    waiting::in_time,
};

/// What has expired at `now`, in the order in which it is given. Nothing stays locked.
pub(crate) async fn expired(fleet: &Fleet, now: i64, limit: i64) -> Vec<Expired> {
    let mut connection = fleet.connection().await;
    // Waiting for somebody else's lock would be waiting for ever here.
    in_time(queue::expired(&mut connection, at(now), limit))
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

/// Three commands of one vehicle, which expire in the order 3, 1, 2.
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
async fn an_expired_command_is_not_claimed_and_stays_until_it_is_removed() {
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
async fn a_command_is_claimed_to_its_last_moment() {
    let fleet = Fleet::new().await;
    let vehicle = fleet.vehicle("VIN1").await;
    let command = fleet.submit(1, vehicle).await;
    assert_eq!(ids(&claim(&fleet, EXPIRY - 1, 10).await), [command]);
}

#[tokio::test]
async fn commands_expire_for_a_vehicle_that_is_away_and_behind_others() {
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
async fn a_command_in_somebody_s_hands_does_not_expire() {
    let fleet = Fleet::new().await;
    let vehicle = fleet.vehicle("VIN1").await;
    let command = fleet.submit(1, vehicle).await;
    // The lease ends 20 s after the command would have expired.
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
    // Whoever sent it found out that it did not arrive.
    queue::mark_sent(&mut connection, first, 0).await.unwrap();
    assert_eq!(expired_ids(&fleet, EXPIRY).await, [first, second, third]);
}

#[tokio::test]
async fn no_more_than_the_limit_is_given_and_what_expired_first_comes_first() {
    let (fleet, [first, second, third]) = three().await;
    // Now PostgreSQL knows that the table is small, and reads it without the index on the expiry.
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
async fn what_another_transaction_has_locked_is_left_to_it() {
    let (fleet, [first, second, third]) = three().await;
    let mut sweeping = fleet.pool.begin().await.unwrap();
    let batch = queue::expired(&mut sweeping, at(30), 1).await.unwrap();
    assert_eq!(commands(&batch), [third]);
    let mut calling_off = fleet.pool.begin().await.unwrap();
    let entry = queue::lock(&mut calling_off, first).await.unwrap();
    assert!(entry.is_some());

    assert_eq!(expired_ids(&fleet, 30).await, [second]);
    queue::remove(&mut sweeping, third).await.unwrap();
    sweeping.commit().await.unwrap();
    assert_eq!(expired_ids(&fleet, 30).await, [second]);
    calling_off.rollback().await.unwrap();
    assert_eq!(expired_ids(&fleet, 30).await, [first, second]);
}
