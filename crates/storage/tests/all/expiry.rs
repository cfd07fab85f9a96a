use sovd_domain::CommandId;
use sovd_storage::queue;

use crate::{
    fleet::{Fleet, at},
    queue::{claim, ids},
};

/// The moment at which [`Fleet::submit`]ted commands expire.
const EXPIRY: i64 = 3600;

async fn remove_expired(fleet: &Fleet, now: i64) -> Vec<CommandId> {
    let mut connection = fleet.connection().await;
    let mut removed = queue::remove_expired(&mut connection, at(now))
        .await
        .unwrap();
    removed.sort();
    removed
}

#[tokio::test]
async fn an_expired_command_is_removed_and_not_claimed() {
    let fleet = Fleet::new().await;
    let vehicle = fleet.vehicle("VIN1").await;
    let command = fleet.submit(1, vehicle).await;
    assert_eq!(remove_expired(&fleet, EXPIRY - 1).await, []);
    assert_eq!(ids(&claim(&fleet, EXPIRY, 10).await), []);
    assert_eq!(remove_expired(&fleet, EXPIRY).await, [command]);
    assert_eq!(remove_expired(&fleet, EXPIRY).await, []);
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
    fleet
        .client
        .batch_execute("UPDATE vehicles SET connection_status = 'disconnected'")
        .await
        .unwrap();
    assert_eq!(remove_expired(&fleet, EXPIRY).await, commands);
}

#[tokio::test]
async fn a_command_in_somebody_s_hands_does_not_expire() {
    let fleet = Fleet::new().await;
    let vehicle = fleet.vehicle("VIN1").await;
    let command = fleet.submit(1, vehicle).await;
    // The lease ends 20 s after the command would have expired.
    assert_eq!(ids(&claim(&fleet, EXPIRY - 10, 10).await), [command]);
    assert_eq!(remove_expired(&fleet, EXPIRY + 19).await, []);
    assert_eq!(remove_expired(&fleet, EXPIRY + 20).await, [command]);
}

#[tokio::test]
async fn a_command_that_was_sent_does_not_expire() {
    let fleet = Fleet::new().await;
    let vehicle = fleet.vehicle("VIN1").await;
    let command = fleet.submit(1, vehicle).await;
    let mut connection = fleet.connection().await;
    sovd_storage::commands::start(&mut connection, command, at(0))
        .await
        .unwrap();
    assert_eq!(remove_expired(&fleet, EXPIRY * 2).await, []);
    assert_eq!(ids(&claim(&fleet, EXPIRY * 2, 10).await), [command]);
}
